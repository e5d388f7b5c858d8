package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prescale/prescale/forecaster/batch"
)

const m4Season = 24

func readLines(path string) (ids []string, values [][]float64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, nil, err
	}
	in := bufio.NewScanner(unzipped)
	in.Buffer(nil, 1<<24)
	for in.Scan() {
		fields := strings.Split(in.Text(), ",")
		var row []float64
		for _, f := range fields[1:] {
			v, err := strconv.ParseFloat(strings.TrimSpace(f), 64)
			if err != nil {
				break
			}
			row = append(row, v)
		}
		if len(row) > 1 {
			ids, values = append(ids, fields[0]), append(values, row)
		}
	}
	return ids, values, in.Err()
}

// smape and mase are the competition's: Makridakis, Spiliotis & Assimakopoulos 2020, "The M4 Competition", section 2.
func smape(truth, forecast []float64) float64 {
	sum := 0.0
	for i, a := range truth {
		sum += 200 * math.Abs(a-forecast[i]) / (math.Abs(a) + math.Abs(forecast[i]))
	}
	return sum / float64(len(truth))
}

func mase(train, truth, forecast []float64) float64 {
	scale := 0.0
	for i := m4Season; i < len(train); i++ {
		scale += math.Abs(train[i]-train[i-m4Season]) / float64(len(train)-m4Season)
	}
	sum := 0.0
	for i, a := range truth {
		sum += math.Abs(a - forecast[i])
	}
	return sum / float64(len(truth)) / scale
}

// naive2 is the last value, seasonally adjusted by classical multiplicative decomposition where the autocorrelation at the
// season is significant at 90 %, as in the competition's benchmark code.
func naive2(y []float64, horizon int) []float64 {
	indices := make([]float64, m4Season)
	for i := range indices {
		indices[i] = 1
	}
	if seasonalAt(y, m4Season) {
		indices = multiplicative(y, m4Season)
	}
	last := y[len(y)-1] / indices[(len(y)-1)%m4Season]
	out := make([]float64, horizon)
	for k := range out {
		out[k] = last * indices[(len(y)+k)%m4Season]
	}
	return out
}

func seasonalAt(y []float64, m int) bool {
	n := float64(len(y))
	mean := 0.0
	for _, v := range y {
		mean += v / n
	}
	variance := 0.0
	for _, v := range y {
		variance += (v - mean) * (v - mean)
	}
	at := func(lag int) float64 {
		sum := 0.0
		for i := lag; i < len(y); i++ {
			sum += (y[i] - mean) * (y[i-lag] - mean)
		}
		return sum / variance
	}
	squares := 0.0
	for lag := 1; lag < m; lag++ {
		r := at(lag)
		squares += r * r
	}
	return math.Abs(at(m)) > 1.645*math.Sqrt((1+2*squares)/n)
}

func multiplicative(y []float64, m int) []float64 {
	sum, count := make([]float64, m), make([]float64, m)
	for t := m / 2; t+m/2 < len(y); t++ {
		trend := 0.5*y[t-m/2] + 0.5*y[t+m/2]
		for i := t - m/2 + 1; i < t+m/2; i++ {
			trend += y[i]
		}
		sum[t%m] += y[t] / (trend / float64(m))
		count[t%m]++
	}
	total := 0.0
	for i := range sum {
		sum[i] /= count[i]
		total += sum[i]
	}
	for i := range sum {
		sum[i] *= float64(m) / total
	}
	return sum
}

// interval95 returns the mean width of the intervals, with what M4's MSIS adds for each outcome outside, and the share inside.
func interval95(outcomes []float64, f batch.Result) (width, inside float64) {
	n := float64(len(outcomes))
	for k, a := range outcomes {
		width += (f.Upper[k] - f.Lower[k]) / n
		switch {
		case a < f.Lower[k]:
			width += 40 * (f.Lower[k] - a) / n
		case a > f.Upper[k]:
			width += 40 * (a - f.Upper[k]) / n
		default:
			inside += 1 / n
		}
	}
	return width, inside
}

func m4(data string) error {
	ids, train, err := readLines(filepath.Join(data, "m4_hourly", "hourly_train.csv.gz"))
	if err != nil {
		return err
	}
	testIDs, test, err := readLines(filepath.Join(data, "m4_hourly", "hourly_test.csv.gz"))
	if err != nil {
		return err
	}
	interval := 0.0
	if os.Getenv("M4_INTERVAL") != "" {
		interval = 0.95
	}
	every, _ := strconv.Atoi(os.Getenv("M4_EVERY"))
	every = max(1, every)
	count := float64((len(train) + every - 1) / every)
	type method struct {
		name     string
		forecast func(y []float64) batch.Result
	}
	methods := []method{
		{"Naive2", func(y []float64) batch.Result { return batch.Result{Points: naive2(y, 48)} }},
		{"SeasonalNaive", func(y []float64) batch.Result {
			out := make([]float64, 48)
			for k := range out {
				out[k] = y[len(y)-m4Season+k%m4Season]
			}
			return batch.Result{Points: out}
		}},
		{"Prescale", func(y []float64) batch.Result {
			return batch.Forecast(y, batch.Config{Horizon: 48, Seasons: []int{m4Season}, Interval: interval})
		}},
	}
	var baseSmape, baseMase float64
	fmt.Printf("%-14s %8s %8s %8s %8s %6s %10s\n", "method", "sMAPE", "MASE", "OWA", "MSIS95", "cov95", "ms/series")
	for _, m := range methods {
		var s, e, msis, cover float64
		began := time.Now()
		for i := 0; i < len(train); i += every {
			if ids[i] != testIDs[i] {
				return fmt.Errorf("series %s in train, %s in test", ids[i], testIDs[i])
			}
			f := m.forecast(train[i])
			s += smape(test[i], f.Points) / count
			e += mase(train[i], test[i], f.Points) / count
			if f.Lower != nil {
				width, inside := interval95(test[i], f)
				msis += width * mase(train[i], []float64{1}, []float64{0}) / count
				cover += inside / count
			}
		}
		if m.name == "Naive2" {
			baseSmape, baseMase = s, e
		}
		fmt.Printf("%-14s %8.3f %8.3f %8.3f %8.3f %6.3f %10.2f\n", m.name, s, e, (s/baseSmape+e/baseMase)/2, msis, cover,
			float64(time.Since(began).Microseconds())/1000/count)
	}
	return nil
}
