package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/readmodel"
)

// liveTimeout bounds the question to a daemon, which answers from memory.
const liveTimeout = 10 * time.Second

// isPolicyName reports whether text is "namespace/name".
func isPolicyName(text string) bool {
	namespace, name, ok := strings.Cut(text, "/")
	return ok && namespace != "" && name != "" && !strings.Contains(name, "/")
}

// askLive asks a running daemon for the newest decision of a policy, "namespace/name".
func askLive(ctx context.Context, server, policy string) (*readmodel.StatusMessage, error) {
	if !isPolicyName(policy) {
		return nil, command.Inputf("policy %q: want namespace/name", policy)
	}
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	if !isURL(server) {
		return nil, command.Inputf("--server: %q: want a URL such as http://127.0.0.1:8080", server)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(server, "/")+"/api/v1/policies/"+policy, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w: check that it runs, and that --server is its http.listen", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	if text := strings.TrimSpace(string(body)); response.StatusCode == http.StatusNotFound && strings.Contains(text, policy) {
		return nil, command.Inputf("the daemon at %s: %s", server, text) // one that is not run, with the reason, or unknown
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the daemon at %s answers %s: %s", server, response.Status, body)
	}
	var message readmodel.StatusMessage
	if err := json.Unmarshal(body, &message); err != nil {
		return nil, fmt.Errorf("the daemon at %s: %w", server, err)
	}
	return &message, nil
}

// explainLive prints a running daemon's newest decision, and first of all why queries for it fail, if they do.
func explainLive(ctx context.Context, w io.Writer, server, policy, output string) error {
	message, err := askLive(ctx, server, policy)
	if err != nil {
		return err
	}
	if output == "json" {
		return writeJSON(w, message)
	}
	if message.Error != "" {
		fmt.Fprintf(w, "NOT ANSWERED NOW: %s\n\n", message.Error)
	}
	if message.Entry == nil {
		return nil
	}
	o := &message.Entry.Observation
	e := explanation{T: float64(message.Entry.At.UnixMilli()) / 1000, Decision: message.Entry.Decision, Partitions: o.Partitions,
		Problems: o.Problems}
	if x := message.Explained; x != nil {
		e.T, e.Decision, e.WhatIf = float64(x.Decision.At.UnixMilli())/1000, x.Decision, x.WhatIf
	}
	if err := e.print(w); err != nil || message.Explained != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\nwhat would change it is not known here: %s decides for this policy; ask that one, "+
		"or its log with --config and --at 0s\n", cmp.Or(message.Entry.Writer, "another process"))
	return err
}
