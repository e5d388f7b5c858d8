package catalog_test

import (
	"bytes"
	"math"
	"math/rand"
	"reflect"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
)

func TestRestoredModelAnswersBitForBit(t *testing.T) {
	config := forecaster.DefaultConfig()
	one, err := catalog.New(config)
	if err != nil {
		t.Fatal(err)
	}
	two, _ := catalog.New(config)
	rng := rand.New(rand.NewSource(1))
	at := time.Unix(0, 0).UTC()
	feed := func(m forecaster.Model, v float64) { m.Observe(at, v) }
	for range 500 {
		at = at.Add(config.Step)
		feed(one, 100+10*rng.NormFloat64())
	}
	if err := two.Restore(one.AppendCheckpoint(nil)); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		at = at.Add(config.Step)
		v := 100 + 10*rng.NormFloat64()
		feed(one, v)
		feed(two, v)
	}
	var a, b forecaster.Forecast
	one.Forecast(&a, 10)
	two.Forecast(&b, 10)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("restored model differs: %v and %v", a, b)
	}
	if !bytes.Equal(one.AppendCheckpoint(nil), two.AppendCheckpoint(nil)) {
		t.Error("checkpoints differ")
	}
	if q := a.Quantile(1, 0); math.Abs(q-100) > 15 {
		t.Errorf("median of N(100, 10): got %v", q)
	}
	if !a.Warm {
		t.Errorf("not warm after 550 samples: %s", a.Reason)
	}
}
