// Package console is the live web page: plots of arrivals, forecast, lag and replicas, and the log of decisions with their
// reasons. Its main type is the Server, an http.Handler that keeps what it was told and streams it to every open page by
// server-sent events. The page is plain JavaScript and uPlot, all embedded: it makes no request to anywhere else.
//
// It shows what was decided and decides nothing; it has no forms and changes nothing.
package console

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"github.com/prescale/prescale/cmd/internal/readmodel"
)

//go:embed static
var static embed.FS

const (
	// historyMessages is how many messages a page gets when it opens: at two policies and a tick every 15 s, eight hours.
	historyMessages = 4096
	// pageBacklog is how many messages a page may be behind before it is cut off; it then connects again and gets the
	// history.
	pageBacklog = 256
	// keepAlive is how often a comment is sent on a quiet stream, so that proxies do not close it.
	keepAlive = 15 * time.Second
)

// Server serves the page and its stream. Make it with New. It is safe for concurrent use.
type Server struct {
	mux   *http.ServeMux
	hello []byte

	mu      sync.Mutex
	history [][]byte
	pages   map[chan []byte]struct{}
	closed  bool
}

// New returns a Server whose pages begin with hello.
func New(hello Hello) *Server {
	s := &Server{mux: http.NewServeMux(), pages: map[chan []byte]struct{}{}, hello: event("hello", hello)}
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
func (s *Server) Tick(e readmodel.Entry) { s.publish("tick", TickOf(e)) }

// Model shows how the model that serves does.
func (s *Server) Model(m Model) { s.publish("model", m) }

// Mark shows an event.
func (s *Server) Mark(m Mark) { s.publish("mark", m) }

// Score replaces the side-by-side table.
func (s *Server) Score(m Score) { s.publish("score", m) }

// Follow shows every entry that the store publishes until the context ends, and then returns nil.
func (s *Server) Follow(ctx context.Context, store *readmodel.Store) error {
	entries := make(chan readmodel.Entry, pageBacklog)
	defer store.Watch(entries)()
	for {
		select {
		case e := <-entries:
			s.Tick(e)
		case <-ctx.Done():
			return nil
		}
	}
}

// Close ends every open stream, so that an HTTP server can shut down; pages see a lost connection.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for page := range s.pages {
		close(page)
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

func (s *Server) publish(kind string, message any) {
	e := event(kind, message)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.history) >= historyMessages {
		s.history = append(s.history[:0:0], s.history[historyMessages/8:]...)
	}
	s.history = append(s.history, e)
	for page := range s.pages {
		select {
		case page <- e:
		default: // Too slow: it will come again for the history.
			close(page)
			delete(s.pages, page)
		}
	}
}

// open registers a page and returns its stream with all that came before; the stream is nil once the Server is closed.
func (s *Server) open() (history [][]byte, page chan []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	history = s.history[:len(s.history):len(s.history)]
	if !s.closed {
		page = make(chan []byte, pageBacklog)
		s.pages[page] = struct{}{}
	}
	return history, page
}

func (s *Server) leave(page chan []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pages, page)
}

// events streams hello, the history, a "live" event and then all that comes.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	history, page := s.open()
	if page == nil {
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	}
	defer s.leave(page)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	flush := http.NewResponseController(w).Flush
	send := func(chunks ...[]byte) error {
		for _, c := range chunks {
			if _, err := w.Write(c); err != nil {
				return err
			}
		}
		return flush()
	}
	opening := append([][]byte{s.hello}, history...)
	if send(append(opening, event("live", struct{}{}))...) != nil {
		return
	}
	quiet := time.NewTicker(keepAlive)
	defer quiet.Stop()
	for {
		select {
		case e, open := <-page:
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
