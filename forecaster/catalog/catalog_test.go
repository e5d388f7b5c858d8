package catalog_test

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/forecaster/forecastertest"
)

func TestStandardModel(t *testing.T) {
	forecastertest.Run(t, catalog.New)
	forecastertest.RunRecovery(t, catalog.New)
}

func TestEachFamilyAlone(t *testing.T) {
	for _, name := range catalog.Names() {
		t.Run(name, func(t *testing.T) { forecastertest.Run(t, catalog.Only(name)) })
	}
}

// TestMemory holds a series to its budget: the state of a weekly season at 15 s, four quantiles and ten steps. The
// checkpoint holds every array that the model holds, at the same width.
func TestMemory(t *testing.T) {
	m, err := catalog.New(forecaster.Config{Step: 15 * time.Second, MaxSteps: 10, Quantiles: []float64{0.5, 0.9, 0.95, 0.99},
		Seasons: []time.Duration{24 * time.Hour, 7 * 24 * time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(m.AppendCheckpoint(nil)); n > 64<<10 {
		t.Errorf("a series takes %d bytes, want at most %d", n, 64<<10)
	}
}

// FuzzModel feeds arbitrary values at arbitrary distances.
func FuzzModel(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18})
	f.Add(make([]byte, 90))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := catalog.New(forecastertest.Config())
		if err != nil {
			t.Fatal(err)
		}
		var forecast forecaster.Forecast
		at := time.Unix(0, 0)
		for ; len(data) >= 9; data = data[9:] {
			at = at.Add(time.Duration(int8(data[0])) * forecastertest.Config().Step / 4)
			m.Observe(at, math.Float64frombits(binary.LittleEndian.Uint64(data[1:])))
			m.Forecast(&forecast, 6)
			forecastertest.Check(t, &forecast)
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	config := forecaster.Config{Step: 15 * time.Second, MaxSteps: 10, Quantiles: []float64{0.5, 0.9, 0.95, 0.99}}
	m, err := catalog.New(config)
	if err != nil {
		b.Fatal(err)
	}
	var f forecaster.Forecast
	at := time.Unix(0, 0)
	step := func(i int) {
		at = at.Add(config.Step)
		m.Observe(at, 100+50*math.Sin(float64(i)/916)+float64(i*7919%31))
		m.Forecast(&f, 10)
	}
	for i := range 3 * 5760 {
		step(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		step(i)
	}
}

func BenchmarkRestore(b *testing.B) {
	config := forecaster.Config{Step: 15 * time.Second, MaxSteps: 10, Quantiles: []float64{0.5, 0.9, 0.95, 0.99}}
	m, err := catalog.New(config)
	if err != nil {
		b.Fatal(err)
	}
	checkpoint := m.AppendCheckpoint(nil)
	b.SetBytes(int64(len(checkpoint)))
	for range b.N {
		fresh, _ := catalog.New(config)
		if err := fresh.Restore(checkpoint); err != nil {
			b.Fatal(err)
		}
	}
}
