package kube

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/prescale/prescale/scaler/v1alpha1"
	"github.com/prescale/prescale/scaler/vertical"
)

const (
	// pressedRatio is the share of its ceiling from which a container counts as held back by it.
	pressedRatio = 0.9
	// hotGrowth is by how much the pod of a hot partition grows at a time where no size that was seen at work carries it: none
	// that was not is taken for enough, so the next look judges what this one did.
	hotGrowth = 1.5
	// leastChange is the relative change below which a resize is not worth a write.
	leastChange = 0.05
	// mebibyte is what memory is rounded up to.
	mebibyte = 1 << 20
)

// grant is what a container has of one resource, in cores or bytes: its request, and its limit or 0 where it has none.
type grant struct{ request, limit float64 }

// wish is what should become of a grant.
type wish struct {
	target, lower, upper float64
	// used is what the container uses now; growth by how much more it should have if it is held back while the group waits for one
	// partition, and maybe for this pod. 0: the group does not.
	used, growth float64
	// most is the policy's bound; 0 where it sets none.
	most float64
	// shrink allows less than there is. Memory never shrinks in place: what a process holds it keeps.
	shrink bool
}

// pressed reports whether the container is held back by what it may use.
func (g grant) pressed(used float64) bool {
	ceiling := g.limit
	if ceiling == 0 {
		ceiling = g.request
	}
	return ceiling > 0 && used >= pressedRatio*ceiling
}

// resized returns what the container should have, and whether that differs enough. A grant within the recommendation's bounds
// stays, except that of a pressed container while a partition is hot. A limit keeps its ratio to the request, and with it the
// pod its class of service, which a resize may not change. Without a bound of the policy the present limit is the bound.
func (g grant) resized(w wish) (grant, bool) {
	if g.request <= 0 {
		return g, false // A resize may not add a request where there was none.
	}
	want := g.request
	switch {
	case g.request < w.lower, g.request > w.upper && w.shrink:
		want = w.target
	}
	if w.growth > 0 && g.pressed(w.used) {
		want = max(want, w.growth*g.request)
	}
	next := grant{limit: g.limit}
	if w.most > 0 {
		next.request = min(want, max(w.most, g.request))
		if g.limit > 0 {
			next.limit = g.limit * next.request / g.request
			if next.request > g.request {
				next.limit = max(min(next.limit, w.most), g.limit, next.request)
			}
		}
	} else {
		if g.limit == 0 || g.request == g.limit {
			return g, false
		}
		next.request = min(want, g.limit)
	}
	if math.Abs(next.request-g.request) < leastChange*g.request && math.Abs(next.limit-g.limit) < leastChange*max(g.limit, g.request) {
		return g, false
	}
	return next, true
}

func cpuQuantity(x float64) resource.Quantity {
	return *resource.NewMilliQuantity(int64(math.Ceil(x*1000-1e-6)), resource.DecimalSI)
}

func memoryQuantity(x float64) resource.Quantity {
	return *resource.NewQuantity(int64(math.Ceil(x/mebibyte-1e-9))*mebibyte, resource.BinarySI)
}

// replicaSize rounds a size as a request is written.
func replicaSize(s vertical.Size) v1alpha1.ReplicaSize {
	return v1alpha1.ReplicaSize{CPU: cpuQuantity(s.CPUCores), Memory: memoryQuantity(s.MemoryBytes)}
}

// resize is one container's resize.
type resize struct {
	container string
	resources corev1.ResourceRequirements
	// text says what changes: cpu 50m to 75m.
	text string
	// press is how much the container needs it: what it uses over what it may use.
	press float64
}

// resizeOf returns how one container of a pod should change; false where it should not. growth is that of a wish for CPU; while it
// is not 0 nobody gets less, for which pod will have the hot partition next is not known.
func resizeOf(policy *v1alpha1.ScalePolicy, container *corev1.Container, rec vertical.Recommendation, used vertical.Size,
	growth float64) (resize, bool) {
	out := resize{container: container.Name, resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{},
		Limits: corev1.ResourceList{}}}
	most := policy.Spec.VerticalMax
	if most == nil {
		most = &v1alpha1.ResourceMax{}
	}
	changed := false
	for _, r := range []struct {
		name     corev1.ResourceName
		wish     wish
		bound    *resource.Quantity
		quantity func(float64) resource.Quantity
	}{
		{corev1.ResourceCPU, wish{target: rec.Target.CPUCores, lower: rec.Lower.CPUCores, upper: rec.Upper.CPUCores,
			used: used.CPUCores, growth: growth, shrink: growth == 0}, most.CPU, cpuQuantity},
		{corev1.ResourceMemory, wish{target: rec.Target.MemoryBytes, lower: rec.Lower.MemoryBytes, upper: rec.Upper.MemoryBytes,
			used: used.MemoryBytes}, most.Memory, memoryQuantity},
	} {
		if slices.ContainsFunc(container.ResizePolicy, func(p corev1.ContainerResizePolicy) bool {
			return p.ResourceName == r.name && p.RestartPolicy == corev1.RestartContainer
		}) {
			continue // It would start again, which is what in place is to avoid.
		}
		request, limit := container.Resources.Requests[r.name], container.Resources.Limits[r.name]
		if r.bound != nil {
			r.wish.most = r.bound.AsApproximateFloat64()
		}
		now := grant{request.AsApproximateFloat64(), limit.AsApproximateFloat64()}
		next, ok := now.resized(r.wish)
		if !ok {
			continue
		}
		if changed {
			out.text += ", "
		}
		changed = true
		to := r.quantity(next.request)
		out.resources.Requests[r.name] = to
		out.text += fmt.Sprintf("%s from %s to %s", r.name, request.String(), to.String())
		if now.limit > 0 && next.limit != now.limit {
			to := r.quantity(next.limit)
			out.resources.Limits[r.name] = to
			out.text += fmt.Sprintf(" (limit from %s to %s)", limit.String(), to.String())
		}
		ceiling := max(now.limit, now.request)
		out.press = max(out.press, r.wish.used/ceiling)
	}
	return out, changed
}

// resizePatch returns the strategic merge patch for the subresource resize of a pod.
func resizePatch(r resize) ([]byte, error) {
	type container struct {
		Name      string                      `json:"name"`
		Resources corev1.ResourceRequirements `json:"resources"`
	}
	var patch struct {
		Spec struct {
			Containers []container `json:"containers"`
		} `json:"spec"`
	}
	patch.Spec.Containers = []container{{r.container, r.resources}}
	return json.Marshal(patch)
}
