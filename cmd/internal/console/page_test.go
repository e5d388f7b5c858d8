//go:build integration

package console

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/hack/browser"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// TestPageInChromium draws an invented hour and checks in a real browser that every plot has its points, in both colour
// schemes and on a narrow screen.
func TestPageInChromium(t *testing.T) {
	const ticks = 200
	s := New(Hello{
		Title: "An hour of a chat service's traffic", Speed: 20, Compare: "ai/plain-hpa", Workloads: true,
		Policies: []Policy{{"ai/inference", 15, 30}, {"ai/plain-hpa", 15, 30}, {"payments-production/inference-of-the-recommendation-service", 15, 30}},
	})
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	t.Cleanup(s.Close)
	publishHour(s, ticks)

	page := browser.Open(t, server.URL, 1280, 800, "dark")
	page.Wait("window.prescale && Object.keys(prescale.points().model).length", time.Minute)
	var points map[string]map[string]int
	page.Eval("prescale.points()", &points)
	for plot, names := range map[string][]string{
		"arrivals": {"arrivals", "q0.5", "q0.8", "q0.9", "q0.95", "q0.99"},
		"seconds":  {"lagSeconds", "rivalSeconds", "promise"},
		"replicas": {"ready", "desired", "rivalReady"},
		"records":  {"lagRecords", "rivalRecords"},
		"model":    {"accuracy"},
	} {
		for _, name := range names {
			if got := points[plot][name]; got < ticks-40 {
				t.Errorf("plot %s, line %s: got %d points, want at least %d", plot, name, got, ticks-40)
			}
		}
	}
	// The newest forecast is drawn step by step: publishHour's median rises by 2 % a step.
	var ahead []float64
	page.Eval("prescale.charts.arrivals.table['q0.5'].slice(-6)", &ahead)
	for k := 1; k < len(ahead); k++ {
		if ratio := ahead[k] / ahead[0]; math.Abs(ratio-(1+0.02*float64(k))) > 1e-9 {
			t.Errorf("the median %d steps ahead: got %.4f of the first, want %.2f", k+1, ratio, 1+0.02*float64(k))
		}
	}
	var marks []string
	page.Eval("prescale.charts.model.marks.map(m => m.label)", &marks)
	if want := []string{"v2", "drift", "v3", "v4"}; len(ahead) != 6 || !slices.Equal(marks, want) {
		t.Errorf("got %d steps ahead and the marks %q, want 6 and %q", len(ahead), marks, want)
	}
	var inked float64
	page.Eval(`(() => { const c = document.querySelector('#c-arrivals canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
		let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n / (d.length / 4); })()`, &inked)
	if inked < 0.03 {
		t.Errorf("the plot of arrivals has ink on %.1f %% of its area: nothing was drawn", 100*inked)
	}
	page.Screenshot("console-dark")
	page.Eval("document.getElementById('theme').click() || true", new(bool))
	page.Screenshot("console-light")
	page.Resize(390, 1400)
	var overflow bool
	page.Wait("document.querySelector('#c-arrivals .u-wrap').clientWidth < 390", 10*time.Second)
	page.Eval("document.documentElement.scrollWidth > 390", &overflow)
	if overflow {
		t.Error("a narrow screen has to scroll sideways")
	}
	page.Screenshot("console-narrow")
	// Another policy is chosen from the list, also one that the page hears of while it is open.
	for _, name := range []string{"payments-production/inference-of-the-recommendation-service", "zz/new"} {
		for i := range 12 {
			e := entry(i)
			e.Policy, e.ObjectiveLag = name, 30*time.Second
			s.Tick(e)
		}
		page.Wait(fmt.Sprintf("[...document.getElementById('policy').options].some(o => o.value === %q)", name), 10*time.Second)
		page.Eval(fmt.Sprintf("(() => { const p = document.getElementById('policy'); p.value = %q; return p.dispatchEvent(new Event('change')); })()", name), new(bool))
		page.Wait("prescale.points().arrivals?.arrivals === 12", 10*time.Second)
		s.Tick(readmodel.Entry{Policy: name, At: time.Unix(1000+15*12, 0), Interval: 15 * time.Second, Usable: true, Observation: series.Observation{Interval: 15 * time.Second, ArrivalRecords: series.Of(30)}})
		page.Wait("prescale.points().arrivals?.arrivals === 13", 10*time.Second)
	}
	// Three minutes: the times below them differ. The last tick has no forecast, and nothing is said of its horizon.
	page.Resize(1280, 800)
	page.Wait("prescale.charts.arrivals.plot.width > 600", 10*time.Second)
	var times []string
	page.Eval("prescale.charts.arrivals.plot.axes[0]._values", &times)
	if slices.Sort(times); len(times) < 4 || len(slices.Compact(slices.Clone(times))) != len(times) {
		t.Errorf("the times of the axis are %q, want them to differ", times)
	}
	var said []string
	page.Eval("['horizon', 't-arrivals-sub'].map(id => document.getElementById(id).textContent)", &said)
	if want := []string{"records/s", "nothing is forecast now"}; !slices.Equal(said, want) {
		t.Errorf("without a forecast the page says %q, want %q", said, want)
	}
	if problems := page.Problems(); len(problems) > 0 {
		t.Errorf("the page complained: %q", problems)
	}
}

// TestPageKeepsItsPolicy: who serves anew, and hears of another policy first, is asked for the one that was chosen once it is there; when
// that is deleted the first is shown.
func TestPageKeepsItsPolicy(t *testing.T) {
	var serves atomic.Pointer[Server]
	begin := func() *Server {
		s := New(Hello{Title: "test", Speed: 1})
		serves.Store(s)
		t.Cleanup(s.Close)
		return s
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serves.Load().ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	s := begin()
	page := browser.Open(t, server.URL, 1280, 800, "dark")
	ticks := func(policy string, n int) {
		for i := range n {
			e := entry(i)
			e.Policy = policy
			s.Tick(e)
		}
	}
	shows := func(policy string, n int) {
		t.Helper()
		page.Wait(fmt.Sprintf("document.getElementById('policy').value === %q && prescale.points().arrivals?.arrivals === %d", policy, n), 20*time.Second)
	}
	ticks("a/a", 5)
	ticks("b/b", 6)
	shows("a/a", 5)
	page.Eval("(() => { const p = document.getElementById('policy'); p.value = 'b/b'; return p.dispatchEvent(new Event('change')); })()", new(bool))
	shows("b/b", 6)

	before := s
	s = begin()
	before.Close()
	ticks("a/a", 7)
	shows("a/a", 7)
	ticks("b/b", 8)
	shows("b/b", 8)

	store := readmodel.NewStore(time.Now)
	store.Expect("a/a", time.Second)
	s.forget(store)
	shows("a/a", 7)
}

func publishHour(s *Server, ticks int) {
	random := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2023, 11, 16, 18, 15, 0, 0, time.UTC)
	for i := range ticks {
		at := start.Add(time.Duration(i) * 15 * time.Second)
		rate := 5.5 + 2.2*math.Sin(float64(i)/32-1) + 0.5*random.NormFloat64()
		ready := math.Ceil(rate * 1.35)
		e := readmodel.Entry{
			Policy: "ai/inference", At: at, Interval: 15 * time.Second, Usable: true,
			Observation: series.Observation{
				At: at, Interval: 15 * time.Second, ArrivalRecords: series.Of(15 * rate), LagRecords: series.Of(rate * (2 + random.Float64())),
				LagSeconds: series.Of(1.5 + 2*random.ExpFloat64()), ReadyReplicas: series.Of(ready), StartingReplicas: series.Of(float64(i % 7 / 6)),
			},
			Decision: scaler.Decision{
				DesiredReplicas: int(ready) + i%7/6, CurrentReplicas: series.Of(ready), Reason: scaler.ReasonHold, HorizonSteps: 6, Level: 0.95,
				Terms: []scaler.Term{{Name: "forecast", Replicas: int(ready), Detail: fmt.Sprintf("up to %.1f records/s are expected, a replica does 0.9", rate*1.2)}},
			},
		}
		if i%7 == 6 {
			e.Decision.Reason = scaler.ReasonForecast
		}
		if i > 12 {
			for _, q := range []scaler.QuantileValue{{Level: 0.5, Value: 1.08}, {Level: 0.8, Value: 1.16}, {Level: 0.9, Value: 1.22}, {Level: 0.95, Value: 1.28}, {Level: 0.99, Value: 1.4}} {
				e.Decision.ArrivalForecast = append(e.Decision.ArrivalForecast, scaler.QuantileValue{Level: q.Level, Value: q.Value * (5.5 + 2.2*math.Sin(float64(i)/32-1))})
			}
			for k := range e.Decision.HorizonSteps {
				for _, q := range e.Decision.ArrivalForecast {
					e.Ahead = append(e.Ahead, q.Value*0.92*(1+0.02*float64(k)))
				}
			}
		} else {
			e.Decision.Reason, e.Decision.Verdicts = scaler.ReasonWarmingUp, []scaler.Verdict{scaler.VerdictWarmingUp}
		}
		s.Tick(e)
		rival := e
		rival.Policy = "ai/plain-hpa"
		rival.Decision.ArrivalForecast = nil
		swing := math.Max(0, math.Sin(float64(i)/9))
		rival.Observation.LagSeconds, rival.Observation.LagRecords = series.Of(120*swing), series.Of(600*swing)
		rival.Observation.ReadyReplicas = series.Of(4 + math.Round(9*math.Max(0, math.Sin(float64(i)/9-0.7))))
		s.Tick(rival)
		if i%2 == 0 {
			accuracy := 0.93 - 0.3*math.Exp(-float64(i)/10)
			if i > 100 {
				accuracy = 0.93 - 0.4*math.Exp(-float64(i-100)/18)
			}
			s.Model(Model{At: Seconds(at), Version: fmt.Sprint(1 + i/60), AccuracyRatio: series.Of(accuracy)})
		}
		if i == 100 {
			s.Mark(Mark{At: Seconds(at), Kind: "drift", Label: "drift", Text: "the stream's meaning drifts"})
		}
		if i == 60 || i == 120 || i == 180 {
			s.Mark(Mark{At: Seconds(at), Kind: "model", Label: fmt.Sprint("v", 1+i/60), Text: fmt.Sprintf("version %d takes over", 1+i/60)})
		}
	}
	s.Score(Score{
		Columns: []string{"Prescale", "plain HPA"}, InTimeRatio: series.Of(0.9997), Late: 5, Records: 19366,
		Rows: []ScoreRow{
			{"median seconds behind", []string{"0.8", "24.1"}, 0}, {"p99 seconds behind", []string{"6.3", "141"}, 0},
			{"records late", []string{"5", "7,912"}, 0}, {"replica-hours", []string{"7.9", "8.4"}, 0},
		},
		Note: "Both consumer groups read the same topic; the plain HPA scales on lag with the controller's defaults.",
	})
}
