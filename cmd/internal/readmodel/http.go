package readmodel

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/prescale/prescale/scaler"
)

// StatusMessage is one policy as the HTTP API tells it: its newest entry, even when it is stale, and what is wrong with it.
type StatusMessage struct {
	Policy string `json:"policy"`
	// Entry is null until the first tick.
	Entry *Entry `json:"entry"`
	// Error says why queries for the policy fail now; empty when they are answered.
	Error string `json:"error,omitempty"`
	// Cause is the latest failure since Entry.
	Cause string `json:"cause,omitempty"`
	// Explained is given for one policy, by the process that decides for it.
	Explained *Explained `json:"explained,omitempty"`
}

// Explained is a policy's newest decision and what would have changed it. It may be a moment newer than the read model's entry,
// which comes by way of the log.
type Explained struct {
	Decision scaler.Decision `json:"decision"`
	WhatIf   []scaler.WhatIf `json:"whatIf"`
}

// Explainer explains a policy's newest decision, and reports false where it is another process's, where there is none yet, or
// where ctx ends before it can be told.
type Explainer func(ctx context.Context, policy string) (Explained, bool)

// explainTimeout bounds the wait for an explanation: whoever decides may be waiting for the log.
const explainTimeout = time.Second

func messageOf(st Status) StatusMessage {
	m := StatusMessage{Policy: st.Policy, Cause: st.Cause}
	if st.Has {
		m.Entry = &st.Entry
	}
	if st.Err != nil {
		m.Error = st.Err.Error()
	}
	return m
}

// Handler answers GET /api/v1/policies with every policy's StatusMessage, and GET /api/v1/policies/NAMESPACE/NAME with one, which
// explain may explain.
func Handler(store *Store, explain Explainer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/policies", func(w http.ResponseWriter, _ *http.Request) {
		messages := []StatusMessage{}
		for _, st := range store.All() {
			messages = append(messages, messageOf(st))
		}
		writeJSON(w, messages)
	})
	mux.HandleFunc("GET /api/v1/policies/{namespace}/{name}", func(w http.ResponseWriter, r *http.Request) {
		policy := r.PathValue("namespace") + "/" + r.PathValue("name")
		st, err := store.Status(policy)
		var refused *RefusedError
		switch {
		case errors.As(err, &refused):
			http.Error(w, refused.Error(), http.StatusNotFound)
			return
		case err != nil:
			http.Error(w, "unknown policy "+policy, http.StatusNotFound)
			return
		}
		message := messageOf(st)
		ctx, cancel := context.WithTimeout(r.Context(), explainTimeout)
		defer cancel()
		if explained, ok := explain(ctx, policy); ok {
			message.Explained = &explained
		}
		writeJSON(w, message)
	})
	return mux
}

func writeJSON(w http.ResponseWriter, message any) {
	data, err := json.Marshal(message)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data) // A client that went away needs no answer.
}
