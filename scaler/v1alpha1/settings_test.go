package v1alpha1

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/scaler"
)

// TestEverySettingReachesTheScaler parses a policy in which nothing has its default.
func TestEverySettingReachesTheScaler(t *testing.T) {
	const spec = `
kafka: {group: g, topics: [t]}
scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
mode: Observe
paused: true
interval: 5s
leadTime: {initial: 90s}
objective: {lagSeconds: 20, violationRatio: 0.01, latencySeconds: 2}
replicas: {min: 2, max: 30}
budget: {replicaHoursPerDay: 100}
vertical: VERTICAL
sources: {prometheus: {port: 80, latencyHistogram: h, workCounter: tokens, recordsCounter: r}}
schedules: [{start: '0 8 * * *', duration: 1h, timeZone: Asia/Tokyo, minReplicas: 5}]
POOLS`
	read := func(vertical, pools string) (scaler.Config, error) {
		p, err := Parse([]byte("apiVersion: prescale.dev/v1alpha1\nkind: ScalePolicy\nmetadata: {name: a, namespace: shop}\nspec: " +
			strings.ReplaceAll(strings.NewReplacer("VERTICAL", vertical, "POOLS", pools).Replace(spec), "\n", "\n  ")))
		if err != nil {
			return scaler.Config{}, err
		}
		return p.ScalerConfig()
	}
	want := scaler.Config{
		Policy: "shop/a", Interval: 5 * time.Second, ObjectiveLag: 20 * time.Second, ViolationRatio: 0.01, ObjectiveLatency: 2 * time.Second, Work: "tokens",
		MinReplicas: 2, MaxReplicas: 30, InitialLeadTime: 90 * time.Second, Observe: true, Paused: true, Sizes: true, BudgetReplicaHoursPerDay: 100,
		Schedules: []scaler.Schedule{{Span: forecaster.Span{Start: "0 8 * * *", Duration: time.Hour, TimeZone: "Asia/Tokyo"}, MinReplicas: 5}},
	}
	for _, vertical := range []string{"Recommend", "InPlace"} {
		if got, err := read(vertical, ""); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("vertical: %s:\n got %+v\nwant %+v\n%v", vertical, got, want, err)
		}
	}
	want.Sizes = false
	want.Pools = []scaler.Pool{{Name: "gpu", MaxReplicas: 4, Price: 8, Speed: 6}, {Name: "cpu", MaxReplicas: 26, Price: 1}}
	if got, err := read("None", "pools: [{name: gpu, max: 4, price: 8, speed: 6}, {name: cpu, max: 26}]"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("pools:\n got %+v\nwant %+v\n%v", got, want, err)
	}
	if _, err := read("None", "pools: [{name: gpu, max: 4, speed: -1}]"); err == nil || !strings.Contains(err.Error(), "pools[0].speed: -1") {
		t.Errorf("a speed below zero: %v", err)
	}
}

func TestAPolicyOfNoNamespaceIsInDefault(t *testing.T) {
	p := ScalePolicy{}
	p.ObjectMeta.Name = "a"
	if got := p.PolicyName(); got != "default/a" {
		t.Errorf("got %s", got)
	}
}
