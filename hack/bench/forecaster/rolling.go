package main

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/forecaster/score"
)

// fourteen are the traces of the rolling protocol.
var fourteen = []string{
	"alibaba_lora_requests", "azure_llm_conv_2023", "bank_calls_5min", "crane_metric_02", "crane_metric_06",
	"crane_metric_11", "crane_metric_14", "nab_nyc_taxi", "nab_tweets_AAPL", "nab_tweets_FB", "nasa_http_aug95_60s",
	"nasa_http_jul95_60s", "servegen_m_large", "servegen_m_small",
}

var levels = []float64{0.5, 0.9, 0.95, 0.99}

// horizonFor is the protocol's horizon for a step in seconds.
func horizonFor(step float64) int {
	switch step {
	case 10:
		return 30
	case 15:
		return 20
	case 60:
		return 10
	case 600:
		return 6
	default:
		return 12
	}
}

type trace struct {
	name string
	at   []float64 // seconds
	y    []float64
	step float64
}

// rows returns the row of each time.
func (t *trace) rows() map[float64]int {
	rows := make(map[float64]int, len(t.at))
	for i, at := range t.at {
		rows[at] = i
	}
	return rows
}

func readTrace(data, name string) (*trace, error) {
	file, err := os.Open(filepath.Join(data, "traces", name+".csv.gz"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(unzipped).ReadAll()
	if err != nil {
		return nil, err
	}
	t := &trace{name: name, step: math.Inf(1)}
	for i, row := range rows[1:] {
		at, err := strconv.ParseFloat(row[0], 64)
		if err != nil {
			return nil, err
		}
		y, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			t.step = min(t.step, at-t.at[i-1])
		}
		t.at, t.y = append(t.at, at), append(t.y, y)
	}
	return t, nil
}

// tally sums the scores of one trace's origins.
type tally struct {
	origins, points int
	pinball         [4]float64
	cover           [4]float64 // outcomes at or under the quantile
	under           [4]float64 // outcomes under it
	peakCover       [4]float64
	peakUnder       [4]float64
	peakPinball     [4]float64
	sum             float64
	peaks           int
	crossed         int
}

func (s *tally) wql() float64 {
	return 100 * 2 * (s.pinball[0] + s.pinball[1] + s.pinball[2] + s.pinball[3]) / 4 / s.sum
}

// evaluate goes through the trace once and scores the forecasts of its origins, by rows where byRow.
func evaluate(t *trace, byRow bool) (*tally, time.Duration, error) {
	h := horizonFor(t.step)
	step := time.Duration(t.step * float64(time.Second))
	model, err := catalog.New(forecaster.Config{Step: step, MaxSteps: h, Quantiles: levels})
	if err != nil {
		return nil, 0, err
	}
	start := time.Unix(0, 0).UTC()
	byTime := t.rows()
	at := score.Origins(len(t.y), h)
	s := &tally{origins: len(at)}
	var f forecaster.Forecast
	began := time.Now()
	for i, y := range t.y {
		model.Observe(start.Add(time.Duration(t.at[i]*float64(time.Second))), y/t.step)
		if !slices.Contains(at, i) {
			continue
		}
		model.Forecast(&f, h)
		peak, whole := math.Inf(-1), true
		for k := 1; k <= h; k++ {
			j, ok := i+k, true
			if !byRow {
				j, ok = byTime[t.at[i]+float64(k)*t.step]
			}
			if !ok {
				whole = false
				continue
			}
			truth := t.y[j]
			peak = max(peak, truth)
			s.points++
			s.sum += truth
			for l, tau := range levels {
				q := f.Quantile(k, l) * t.step
				s.pinball[l] += score.Pinball(q, truth, tau)
				if truth <= q {
					s.cover[l]++
				}
				if truth < q {
					s.under[l]++
				}
				if l > 0 && q < f.Quantile(k, l-1)*t.step {
					s.crossed++
				}
			}
		}
		if !whole {
			continue
		}
		s.peaks++
		for l, tau := range levels {
			q := f.Max[l] * t.step
			s.peakPinball[l] += score.Pinball(q, peak, tau)
			if peak <= q {
				s.peakCover[l]++
			}
			if peak < q {
				s.peakUnder[l]++
			}
		}
	}
	return s, time.Since(began), nil
}

// lastValueWQL reads the last-value baseline's figures, by trace.
func lastValueWQL(data string) (map[string]float64, error) {
	file, err := os.Open(filepath.Join(data, "baselines.csv"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for _, row := range rows {
		if row[4] == "last_value" && row[5] == "dense" {
			out[row[0]], _ = strconv.ParseFloat(row[15], 64)
		}
	}
	return out, nil
}

// judge says which shares are off, per step (c) and of the maximum (m), and which only by ties; significant is whether one is off by the
// standard error of as many windows as lie apart.
func (s *tally) judge(apart int) (bad, ties string, significant bool) {
	for l := 1; l < 4; l++ {
		allowed := tolerance(levels[l], s.peaks)
		judge := func(what string, cover, under float64) {
			significant = significant || cover < levels[l]-tolerance(levels[l], apart) || under > levels[l]+tolerance(levels[l], apart)
			switch {
			case math.Abs(cover-levels[l]) <= allowed:
			case under < levels[l] && levels[l] < cover:
				// Many outcomes are equal to the quantile, so that no value would cover a share nearer to the level.
				ties += fmt.Sprintf(" (%s%g: ties, %.1f under it)", what, 100*levels[l], 100*under)
			default:
				bad += fmt.Sprintf("%s%g ", what, 100*levels[l])
			}
		}
		judge("c", s.cover[l]/float64(s.points), s.under[l]/float64(s.points))
		judge("m", s.peakCover[l]/float64(s.peaks), s.peakUnder[l]/float64(s.peaks))
	}
	if s.crossed > 0 {
		bad += "crossed"
	}
	return bad, ties, significant
}

func rolling(data string, names []string) error {
	byRow := false
	if len(names) > 0 && names[0] == "-rows" {
		byRow, names = true, names[1:]
	}
	if len(names) == 0 {
		names = fourteen
	}
	base, err := lastValueWQL(data)
	if err != nil {
		return err
	}
	fmt.Printf("%-22s %7s %7s | %5s %5s %5s | %5s %5s %5s | %7s %6s %6s  %s\n", "trace", "wql%", "rel", "c90", "c95", "c99",
		"max90", "max95", "max99", "maxwql%", "us/row", "exact",
		"coverage (tolerance: 2 points or twice the standard error; exact: % of noise whose exact quantiles are inside)")
	logs, n, worst := 0.0, 0, 0.0
	maxLogs, covered, insignificant, shares := 0.0, 0, 0, 0.0
	for _, name := range names {
		t, err := readTrace(data, name)
		if err != nil {
			return err
		}
		s, took, err := evaluate(t, byRow)
		if err != nil {
			return err
		}
		rel := s.wql() / base[name]
		h := horizonFor(t.step)
		starts := score.Origins(len(t.y), h)
		apart := min(len(starts), (starts[len(starts)-1]-starts[0])/h+1)
		bad, ties, significant := s.judge(apart)
		mx := 0.0
		for l := range levels {
			mx += s.peakPinball[l]
		}
		mx = 100 * 2 * mx / 4 / float64(s.peaks) / (s.sum / float64(s.points))
		share := exact(starts, h)
		c := func(x float64, n int) float64 { return 100 * x / float64(n) }
		if bad == "" {
			bad = "ok"
			covered++
		} else {
			bad = "off: " + bad
		}
		if !significant {
			insignificant++
		}
		fmt.Printf("%-22s %7.3f %7.4f | %5.1f %5.1f %5.1f | %5.1f %5.1f %5.1f | %7.2f %6.1f %6.0f  %s\n", name, s.wql(), rel,
			c(s.cover[1], s.points), c(s.cover[2], s.points),
			c(s.cover[3], s.points), c(s.peakCover[1], s.peaks), c(s.peakCover[2], s.peaks), c(s.peakCover[3], s.peaks), mx,
			float64(took.Microseconds())/float64(len(t.y)), 100*share, strings.TrimSpace(bad)+ties)
		shares += share
		logs += math.Log(rel)
		maxLogs += math.Log(mx)
		worst = max(worst, rel)
		n++
	}
	fmt.Printf("geometric mean of rel_wql %.4f (bar 0.69), worst %.3f (bar 1.03), of the maximum's wql%% %.3f; "+
		"coverage within tolerance on %d of %d traces, where exact quantiles of independent noise would be on %.1f, "+
		"and on %d by the standard error of the windows that share no outcomes\n",
		math.Exp(logs/float64(n)), worst, math.Exp(maxLogs/float64(n)), covered, n, shares, insignificant)
	return nil
}
