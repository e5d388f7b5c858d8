package stream

import (
	"container/heap"
	"time"
)

// Late holds values back until they are due, such as outcomes that become known after a delay. The zero value is empty and
// ready; it is not safe for concurrent use.
type Late[T any] struct{ items lateHeap[T] }

// Add holds v back until due. Values of the same instant come out in the order they went in.
func (l *Late[T]) Add(due time.Time, v T) {
	l.items.added++
	heap.Push(&l.items, lateItem[T]{due: due, order: l.items.added, value: v})
}

// Due removes and returns what is due at now, the earliest first.
func (l *Late[T]) Due(now time.Time) []T {
	var out []T
	for len(l.items.all) > 0 && !l.items.all[0].due.After(now) {
		item, _ := heap.Pop(&l.items).(lateItem[T])
		out = append(out, item.value)
	}
	return out
}

// Len is how many are held back.
func (l *Late[T]) Len() int { return len(l.items.all) }

type lateItem[T any] struct {
	due   time.Time
	order int64
	value T
}

type lateHeap[T any] struct {
	all   []lateItem[T]
	added int64
}

func (h *lateHeap[T]) Len() int { return len(h.all) }
func (h *lateHeap[T]) Less(i, j int) bool {
	a, b := h.all[i], h.all[j]
	return a.due.Before(b.due) || a.due.Equal(b.due) && a.order < b.order
}
func (h *lateHeap[T]) Swap(i, j int) { h.all[i], h.all[j] = h.all[j], h.all[i] }
func (h *lateHeap[T]) Push(x any) {
	item, _ := x.(lateItem[T])
	h.all = append(h.all, item)
}

func (h *lateHeap[T]) Pop() any {
	last := len(h.all) - 1
	item := h.all[last]
	h.all = h.all[:last]
	return item
}
