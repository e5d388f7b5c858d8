package console

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var hello = Hello{Title: "test", Speed: 1, Policies: []Policy{{Name: "ai/inference", IntervalSeconds: 15, ObjectiveLagSeconds: 30}}}

func entry(i int) readmodel.Entry {
	at := time.Unix(int64(1000+15*i), 0)
	return readmodel.Entry{
		Policy: "ai/inference", At: at, Interval: 15 * time.Second, Usable: true,
		Observation: series.Observation{
			At: at, Interval: 15 * time.Second, ArrivalRecords: series.Of(30), LagRecords: series.Of(float64(i)), LagSeconds: series.Missing,
		},
		Decision: scaler.Decision{
			DesiredReplicas: 3, HorizonSteps: 6, Level: 0.8, ArrivalForecast: []scaler.QuantileValue{{Level: 0.8, Value: 2.5}},
			Terms: []scaler.Term{{Name: "forecast", Replicas: 3, Detail: "2.5 a second need 3"}, {Name: "bounds", Replicas: 3, Detail: "1 to 9"}},
		},
	}
}

type message struct{ kind, data string }

// stream reads a page's events until n have come.
func stream(t *testing.T, url string, n int) []message {
	t.Helper()
	response, err := http.Get(url + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type: got %q", got)
	}
	var got []message
	var next message
	for lines := bufio.NewScanner(response.Body); len(got) < n && lines.Scan(); {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "event: "):
			next.kind = line[len("event: "):]
		case strings.HasPrefix(line, "data: "):
			next.data = line[len("data: "):]
		case line == "" && next.kind != "":
			got = append(got, next)
			next = message{}
		}
	}
	return got
}

func kinds(messages []message) string {
	var all []string
	for _, m := range messages {
		all = append(all, m.kind)
	}
	return strings.Join(all, " ")
}

func TestPageGetsHistoryThenLive(t *testing.T) {
	s := New(hello)
	server := httptest.NewServer(s)
	defer server.Close()
	defer s.Close()
	s.Tick(entry(0))
	s.Mark(Mark{At: 1, Kind: "drift", Text: "x"})
	go func() {
		// The page is open once it is counted; what comes then is live.
		for open := 0; open == 0; time.Sleep(time.Millisecond) {
			s.mu.Lock()
			open = len(s.pages)
			s.mu.Unlock()
		}
		s.Tick(entry(1))
	}()
	got := stream(t, server.URL, 5)
	if got, want := kinds(got), "hello tick mark live tick"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	var tick map[string]any
	if err := json.Unmarshal([]byte(got[1].data), &tick); err != nil {
		t.Fatal(err)
	}
	// Missing is null and never 0; 30 records in 15 s are 2 a second; 6 steps of 15 s are 90 s.
	for key, want := range map[string]any{"lagSeconds": nil, "arrivals": 2.0, "horizonSeconds": 90.0, "at": 1000.0, "desired": 3.0, "detail": "2.5 a second need 3", "lagRecords": 0.0} {
		if tick[key] != want {
			t.Errorf("%s: got %v, want %v", key, tick[key], want)
		}
	}
}

// TestHistoryIsBounded: a page that opens gets the latest ticks of the policy that it shows, which has its share of what is kept and
// no less than leastTicks, however many policies there are.
func TestHistoryIsBounded(t *testing.T) {
	for _, policies := range []int{1, 40, 2000} {
		s := New(hello)
		rounds := min(3*historyMessages/policies, 3*pageTicks) + 3*leastTicks
		for i := range rounds {
			for p := range policies {
				e := entry(i)
				if p > 0 {
					e.Policy = fmt.Sprintf("ai/p%d", p)
				}
				s.Tick(e)
			}
		}
		most := min(pageTicks, max(leastTicks, historyMessages/policies))
		for _, policy := range []string{"ai/inference", fmt.Sprintf("ai/p%d", policies-1)}[:min(policies, 2)] {
			opening, page := s.open(policy)
			s.leave(page)
			ticks := opening[1 : len(opening)-1]
			if len(ticks) < most || len(ticks) > most+most/8 {
				t.Errorf("%d policies: %d ticks of %s, want %d to an eighth more", policies, len(ticks), policy, most)
			}
			e := entry(rounds - 1)
			e.Policy = policy
			if last := string(ticks[len(ticks)-1]); last != string(event("tick", TickOf(e))) {
				t.Errorf("%d policies: the newest is not the last one published: %s", policies, last)
			}
		}
	}
}

// TestPoliciesThatAreNotInTheFileAreShown: those that a cluster tells of are listed once they tick, by name, their ticks come to the
// pages that show them and to no other, and they are forgotten once the store knows them no more.
func TestPoliciesThatAreNotInTheFileAreShown(t *testing.T) {
	s := New(Hello{Title: "test", Speed: 1})
	opening, waiting := s.open("")
	if got := string(opening[0]); !strings.Contains(got, `"shown":""`) {
		t.Errorf("nothing to show: %s", got)
	}
	tick := func(name string) {
		e := entry(0)
		e.Policy, e.ObjectiveLag = name, 40*time.Second
		s.Tick(e)
	}
	tick("b/b")
	tick("a/a")
	first, a := s.open("")
	opening, b := s.open("b/b")
	if got := string(first[0]); !strings.Contains(got, `"policies":[{"name":"a/a","intervalSeconds":15,"objectiveLagSeconds":40},{"name":"b/b",`) || !strings.Contains(got, `"shown":"a/a"`) {
		t.Errorf("hello: got %s, want a/a and b/b, and a/a shown", got)
	}
	if len(opening) != 3 || !strings.Contains(string(opening[1]), `"policy":"b/b"`) {
		t.Errorf("a page of b/b begins with %q, want its tick alone", opening)
	}
	tick("b/b")
	if len(a.events) != 0 || len(b.events) != 1 || len(waiting.events) != 2 {
		t.Errorf("messages of a tick of b/b: %d to the page of a/a and %d to that of b/b, want 0 and 1; %d to one that waits, want two policies", len(a.events), len(b.events), len(waiting.events))
	}
	e := entry(1)
	e.Policy, e.ObjectiveLag = "b/b", 50*time.Second
	s.Tick(e)
	if got := string(<-a.events); !strings.HasPrefix(got, "event: policy\n") || !strings.Contains(got, `{"name":"b/b","intervalSeconds":15,"objectiveLagSeconds":50}`) || len(a.events) != 0 {
		t.Errorf("a policy that has changed: got %s and %d more, want what it is now and no more", got, len(a.events))
	}
	if opening, _ := s.open("b/b"); !strings.Contains(string(opening[0]), `"objectiveLagSeconds":50`) {
		t.Errorf("hello: got %s, want the objective of now", opening[0])
	}
	store := readmodel.NewStore(time.Now)
	store.Expect("b/b", time.Second)
	s.forget(store)
	if got := string(<-a.events); !strings.HasPrefix(got, "event: gone\n") || !strings.Contains(got, `"name":"a/a"`) {
		t.Errorf("a policy that was deleted: got %s, want that it is gone", got)
	}
	if len(s.hello.Policies) != 1 || s.hello.Policies[0].Name != "b/b" || s.ticks["a/a"] != nil {
		t.Errorf("without a/a: got %v", s.hello.Policies)
	}
}

// TestComparedPolicyIsOnEveryPage: beside the one that is shown, in the order in which all came.
func TestComparedPolicyIsOnEveryPage(t *testing.T) {
	policies := []Policy{{Name: "ai/inference"}, {Name: "ai/plain"}, {Name: "ai/third"}}
	for shown, want := range map[string]string{
		"ai/inference": "ai/plain@1000 ai/inference@1015 ai/plain@1045",
		"ai/plain":     "ai/plain@1000 ai/plain@1045",
	} {
		s := New(Hello{Title: "test", Speed: 1, Compare: "ai/plain", Policies: policies})
		tick := func(i int, policy string) {
			e := entry(i)
			e.Policy = policy
			s.Tick(e)
		}
		for i, policy := range []string{"ai/plain", "ai/inference", "ai/third", "ai/plain"} {
			tick(i, policy)
		}
		opening, page := s.open(shown)
		var got []string
		for _, e := range opening[1 : len(opening)-1] {
			var m Tick
			if err := json.Unmarshal(e[len("event: tick\ndata: "):], &m); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s@%.0f", m.Policy, m.At))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("a page of %s begins with %q, want %q", shown, got, want)
		}
		tick(4, "ai/plain")
		tick(4, "ai/third")
		if len(page.events) != 1 {
			t.Errorf("a page of %s: %d live messages, want the one of ai/plain", shown, len(page.events))
		}
	}
}

// TestListsAreNeverNull: the page goes through them without asking.
func TestListsAreNeverNull(t *testing.T) {
	opening, page := New(Hello{}).open("")
	if got := string(opening[0]); !strings.Contains(got, `"policies":[]`) {
		t.Errorf("hello of nothing: %s", got)
	}
	if len(page.events) != 0 {
		t.Errorf("%d messages of nothing", len(page.events))
	}
	tick := string(event("tick", TickOf(readmodel.Entry{})))
	for _, list := range []string{"verdicts", "coverage", "forecast", "ahead"} {
		if !strings.Contains(tick, fmt.Sprintf("%q:[]", list)) {
			t.Errorf("%s: want an empty list in %s", list, tick)
		}
	}
}

// TestFollowShowsTheStore: what it publishes, until a policy is not in it any more; on a stream with nothing else to say, a comment.
func TestFollowShowsTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := New(Hello{Title: "test", Speed: 1}), readmodel.NewStore(time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		w := httptest.NewRecorder()
		request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/events", nil)
		var parts errgroup.Group
		parts.Go(func() error { return s.Follow(ctx, store) })
		parts.Go(func() error { s.events(w, request); return nil })
		synctest.Wait()
		store.Expect("ai/inference", 15*time.Second)
		store.Publish(entry(0))
		synctest.Wait()
		store.Forget("ai/inference")
		time.Sleep(forgetEvery + time.Second)
		s.Model(Model{})
		s.Score(Score{})
		synctest.Wait()
		cancel()
		if err := parts.Wait(); err != nil {
			t.Error(err)
		}
		var got []string
		for line := range strings.Lines(w.Body.String()) {
			if kind, ok := strings.CutPrefix(line, "event: "); ok || strings.HasPrefix(line, ":") {
				got = append(got, strings.TrimSpace(kind))
			}
		}
		comment := ": still here"
		want := []string{"hello", "live", "policy", comment, comment, comment, comment, "gone", "model", "score"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestSlowPageIsCutOffAndNobodyWaits(t *testing.T) {
	s := New(hello)
	_, page := s.open("")
	for i := range pageBacklog + 1 {
		s.Tick(entry(i))
	}
	n := 0
	for range page.events { // It is closed after the messages that it had room for.
		n++
	}
	if n != pageBacklog {
		t.Errorf("got %d messages, want %d", n, pageBacklog)
	}
	s.Tick(entry(n)) // It is sent to no page that is cut off.
}

// mute is a connection whose other end takes nothing.
type mute struct {
	http.ResponseWriter
	deadline time.Time
}

func (m *mute) SetWriteDeadline(at time.Time) error { m.deadline = at; return nil }

func (m *mute) Write([]byte) (int, error) {
	if m.deadline.IsZero() {
		select {} // for ever
	}
	time.Sleep(time.Until(m.deadline))
	return 0, os.ErrDeadlineExceeded
}

func TestAPageThatTakesNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, began := New(hello), time.Now()
		s.events(&mute{ResponseWriter: httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/events", nil))
		if took := time.Since(began); took != writeWithin || len(s.pages) != 0 {
			t.Errorf("left after %v with %d pages, want %v and none", took, len(s.pages), writeWithin)
		}
	})
}

func TestCloseEndsStreams(t *testing.T) {
	s := New(hello)
	server := httptest.NewServer(s)
	defer server.Close()
	done := make(chan []message)
	go func() { done <- stream(t, server.URL, 1000) }()
	for open := 0; open == 0; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		open = len(s.pages)
		s.mu.Unlock()
	}
	s.Close()
	s.Tick(entry(0)) // The pages are gone, and what still comes is sent to none.
	if got, want := kinds(<-done), "hello live"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	response, err := http.Get(server.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after Close: got status %d, want 503", response.StatusCode)
	}
}

func TestPageIsSelfContained(t *testing.T) {
	s := New(hello)
	external := regexp.MustCompile(`(?:src|href|import|from|url\()\s*[=(]?\s*['"]?(?:https?:)?//`)
	for _, path := range []string{"/", "/console.js", "/charts.js", "/panels.js", "/console.css", "/uplot.js", "/uplot.css", "/icon.svg"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		body, _ := io.ReadAll(w.Body)
		if w.Code != http.StatusOK || len(body) == 0 {
			t.Errorf("%s: got status %d and %d bytes", path, w.Code, len(body))
		}
		if found := external.Find(body); found != nil {
			t.Errorf("%s asks for something elsewhere: %s", path, found)
		}
		for header, want := range map[string]string{
			"Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
			"Cache-Control":           "no-cache", // a page of the last version would not know the messages of this one
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s: got %q, want %q", path, header, got, want)
			}
		}
	}
}

func TestUnusableEntrySaysItsCause(t *testing.T) {
	e := entry(0)
	e.Usable, e.Cause = false, "broker 1: connection refused"
	if got := TickOf(e).Detail; got != e.Cause {
		t.Errorf("detail: got %q, want %q", got, e.Cause)
	}
}

func TestWhyIsTheRuleThatBound(t *testing.T) {
	term := func(n int, detail string) scaler.Term { return scaler.Term{Replicas: n, Detail: detail} }
	for _, c := range []struct {
		terms []scaler.Term
		want  string
	}{
		{nil, ""},
		{[]scaler.Term{term(3, "a")}, "a"},
		{[]scaler.Term{term(3, "a"), term(3, "b")}, "a"},
		{[]scaler.Term{term(3, "a"), term(5, "b"), term(5, "c")}, "b"},
		{[]scaler.Term{term(3, "a"), term(5, "b"), term(4, "c")}, "c"},
	} {
		d := scaler.Decision{Terms: c.terms}
		if n := len(c.terms); n > 0 {
			d.DesiredReplicas = c.terms[n-1].Replicas
		}
		if got := why(&d); got != c.want {
			t.Errorf("%v: got %q, want %q", c.terms, got, c.want)
		}
	}
}
