// Package console is the live web page: plots of arrivals, forecast, lag and replicas, and the log of decisions with their
// reasons. Its main type is the Server, an http.Handler that keeps what it was told and streams it to every open page by
// server-sent events: the ticks of the policy that the page shows, and what is of no policy. The page is plain JavaScript and uPlot,
// all embedded: it makes no request to anywhere else.
//
// It shows what was decided and decides nothing; it has no forms and changes nothing.
package console

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prescale/prescale/cmd/internal/readmodel"
)

//go:embed static
var static embed.FS

const (
	// historyMessages is how many messages are kept for pages that open, each policy having its share, and leastTicks the least of
	// that: of up to four policies all that a page takes, of 300 a quarter of an hour. A message takes 1 to 2 kB.
	historyMessages = 16384
	leastTicks      = 20
	// pageTicks is how many of a policy's ticks a page gets and keeps: 17 hours' at 15 s.
	pageTicks = 4096
	// pageBacklog is how many messages a page may be behind before it is cut off; it then connects again and gets the
	// history.
	pageBacklog = 256
	// entryBacklog is how many entries of the store may wait: all policies tick at once.
	entryBacklog = 4096
	// keepAlive is how often a comment is sent on a quiet stream, so that proxies do not close it.
	keepAlive = 15 * time.Second
	// writeWithin is how long a page may take to accept a message: the stream of one that is gone without a word would stay for ever.
	writeWithin = 30 * time.Second
	// forgetEvery is how often policies that are gone are left out.
	forgetEvery = time.Minute
)

// Server serves the page and its stream. Make it with New. It is safe for concurrent use.
type Server struct {
	mux *http.ServeMux

	mu sync.Mutex
	// hello is what the next page begins with. After the policies that New was told of come those that ticked, sorted.
	hello Hello
	given int
	// messages counts all that came; ticks has the history of each policy and others what is of none.
	messages int
	ticks    map[string][]kept
	others   []kept
	pages    map[*page]struct{}
	closed   bool
}

// kept is a message as it was sent, and which of all it was.
type kept struct {
	number int
	event  []byte
}

// page is one open page, which shows one policy; "" while there is none.
type page struct {
	policy string
	events chan []byte
}

// New returns a Server whose pages begin with hello. Policies that hello does not name are listed once they tick.
func New(hello Hello) *Server {
	hello.Policies = append([]Policy{}, hello.Policies...) // never nil: the page wants a list, be it empty
	s := &Server{mux: http.NewServeMux(), pages: map[*page]struct{}{}, ticks: map[string][]kept{}, hello: hello, given: len(hello.Policies)}
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // The folder is embedded above.
	}
	s.mux.Handle("GET /", http.FileServerFS(files))
	s.mux.HandleFunc("GET /events", s.events)
	return s
}

// ServeHTTP answers GET / and below: the page, its files and the stream at /events.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	s.mux.ServeHTTP(w, r)
}

// Tick shows one entry of the read model.
func (s *Server) Tick(e readmodel.Entry) {
	tick := event("tick", TickOf(e))
	s.mu.Lock()
	defer s.mu.Unlock()
	p := Policy{Name: e.Policy, IntervalSeconds: e.Interval.Seconds(), ObjectiveLagSeconds: e.ObjectiveLag.Seconds()}
	switch at := s.known(e.Policy); {
	case at < 0:
		at, _ := slices.BinarySearchFunc(s.hello.Policies[s.given:], p, func(a, b Policy) int { return strings.Compare(a.Name, b.Name) })
		s.hello.Policies = slices.Insert(s.hello.Policies, s.given+at, p)
		s.send(event("policy", p), everyone)
	case at >= s.given && s.hello.Policies[at] != p:
		s.hello.Policies[at] = p
		s.send(event("policy", p), everyone)
	}
	s.ticks[e.Policy] = s.keep(s.ticks[e.Policy], tick, min(pageTicks, max(leastTicks, historyMessages/len(s.hello.Policies))))
	s.send(tick, func(p *page) bool { return p.policy == e.Policy || s.hello.Compare == e.Policy })
}

func everyone(*page) bool { return true }

// known returns the place of the policy in the list, or -1.
func (s *Server) known(policy string) int {
	return slices.IndexFunc(s.hello.Policies, func(p Policy) bool { return p.Name == policy })
}

// keep adds a message to a history of at most an eighth more than `most`.
func (s *Server) keep(history []kept, event []byte, most int) []kept {
	s.messages++
	if len(history) >= most+most/8 {
		history = append(history[:0:0], history[len(history)-most+1:]...)
	}
	return append(history, kept{s.messages, event})
}

// Model shows how the model that serves does.
func (s *Server) Model(m Model) { s.publish("model", m) }

// Mark shows an event.
func (s *Server) Mark(m Mark) { s.publish("mark", m) }

// Score replaces the side-by-side table.
func (s *Server) Score(m Score) { s.publish("score", m) }

// Follow shows every entry that the store publishes until the context ends, and then returns nil. Policies that are not in the store
// any more are forgotten.
func (s *Server) Follow(ctx context.Context, store *readmodel.Store) error {
	entries := make(chan readmodel.Entry, entryBacklog)
	defer store.Watch(entries)()
	forget := time.NewTicker(forgetEvery)
	defer forget.Stop()
	for {
		select {
		case e := <-entries:
			s.Tick(e)
		case <-forget.C:
			s.forget(store)
		case <-ctx.Done():
			return nil
		}
	}
}

// forget leaves out the policies that the store does not know, but for those that New was told of.
func (s *Server) forget(store *readmodel.Store) {
	there := map[string]bool{}
	for _, status := range store.All() {
		there[status.Policy] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.hello.Policies[:s.given] {
		there[p.Name] = true
	}
	s.hello.Policies = slices.DeleteFunc(s.hello.Policies, func(p Policy) bool {
		if !there[p.Name] {
			s.send(event("gone", p), everyone)
		}
		return !there[p.Name]
	})
	maps.DeleteFunc(s.ticks, func(policy string, _ []kept) bool { return !there[policy] })
}

// Close ends every open stream, so that an HTTP server can shut down; pages see a lost connection.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for page := range s.pages {
		close(page.events)
	}
	clear(s.pages)
}

// event returns the message in the form of a server-sent event. Messages are plain structs, so encoding cannot fail.
func event(kind string, message any) []byte {
	data, err := json.Marshal(message)
	if err != nil {
		panic(fmt.Sprintf("console: encode %s: %v", kind, err))
	}
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", kind, data)
}

// publish keeps and sends what is of no policy.
func (s *Server) publish(kind string, message any) {
	e := event(kind, message)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.others = s.keep(s.others, e, pageTicks)
	s.send(e, everyone)
}

// send sends a message to the pages that it is for.
func (s *Server) send(e []byte, to func(*page) bool) {
	for page := range s.pages {
		if !to(page) {
			continue
		}
		select {
		case page.events <- e:
		default: // Too slow: it will come again for the history.
			close(page.events)
			delete(s.pages, page)
		}
	}
}

// open registers a page that is to show the policy, or the first one where there is no such policy. It returns the page with all that
// it begins with; the page is nil once the Server is closed.
func (s *Server) open(policy string) (opening [][]byte, opened *page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hello := s.hello
	if s.known(policy) >= 0 {
		hello.Shown = policy
	} else if len(hello.Policies) > 0 {
		hello.Shown = hello.Policies[0].Name
	}
	history := slices.Concat(s.others, s.ticks[hello.Shown])
	if hello.Compare != "" && hello.Compare != hello.Shown {
		history = append(history, s.ticks[hello.Compare]...)
	}
	slices.SortFunc(history, func(a, b kept) int { return cmp.Compare(a.number, b.number) })
	opening = append(opening, event("hello", hello))
	for _, k := range history {
		opening = append(opening, k.event)
	}
	if !s.closed {
		opened = &page{hello.Shown, make(chan []byte, pageBacklog)}
		s.pages[opened] = struct{}{}
	}
	return append(opening, event("live", struct{}{})), opened
}

func (s *Server) leave(page *page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pages, page)
}

// events streams hello, the history, a "live" event and then all that comes. The query's policy says which one is shown.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	opening, page := s.open(r.URL.Query().Get("policy"))
	if page == nil {
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	}
	defer s.leave(page)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	stream := http.NewResponseController(w)
	defer func() { _ = stream.SetWriteDeadline(time.Time{}) }()
	send := func(chunks ...[]byte) error {
		_ = stream.SetWriteDeadline(time.Now().Add(writeWithin))
		for _, c := range chunks {
			if _, err := w.Write(c); err != nil {
				return err
			}
		}
		return stream.Flush()
	}
	if send(opening...) != nil {
		return
	}
	quiet := time.NewTicker(keepAlive)
	defer quiet.Stop()
	for {
		select {
		case e, open := <-page.events:
			if !open || send(e) != nil {
				return
			}
		case <-quiet.C:
			if send([]byte(": still here\n\n")) != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
