package pipeline

import "sync"

// Kept carries the autoscalers of a pipeline that has ended to the one that follows it, when policies change and the log keeps
// nothing: a policy that stays as it was goes on from what it had learned. The zero value is empty, and a nil *Kept keeps
// nothing. It is safe for concurrent use.
type Kept struct {
	mu       sync.Mutex
	deciders map[string]*decider
}

// put keeps the autoscalers of a shard that has ended.
func (k *Kept) put(d *deciders) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.deciders == nil {
		k.deciders = map[string]*decider{}
	}
	for name, one := range d.all {
		k.deciders[name] = one
	}
}

// take hands the kept autoscalers over to those of a shard that begins, where the policy decides by the same specification.
func (k *Kept) take(d *deciders) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, one := range d.all {
		if kept, ok := k.deciders[name]; ok && kept.spec == one.spec {
			kept.policy = one.policy
			d.all[name] = kept
		}
	}
}

// retain drops what is kept of policies that are not among these.
func (k *Kept) retain(policies []Policy) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	stays := map[string]bool{}
	for _, p := range policies {
		stays[p.Name()] = true
	}
	for name := range k.deciders {
		if !stays[name] {
			delete(k.deciders, name)
		}
	}
}
