package kafka

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// sortedTopics returns the topics by name, so that requests and messages do not depend on a map's order.
func (c *Collector) sortedTopics() []*topic {
	all := make([]*topic, 0, len(c.topics))
	for _, name := range slices.Sorted(maps.Keys(c.topics)) {
		all = append(all, c.topics[name])
	}
	return all
}

// readEnds reads the end of every partition: once from the leaders that are known, and once more, after reading the
// metadata anew, for those whose leader had moved or did not answer.
func (c *Collector) readEnds(ctx context.Context) {
	if c.readEndsOnce(ctx) || ctx.Err() != nil {
		return
	}
	if err := c.readMetadata(ctx, time.Time{}); err != nil {
		c.logger.Debug("leaders could not be read again", "error", err)
		return
	}
	c.readEndsOnce(ctx)
}

// readEndsOnce asks for the ends that are still unknown at this tick and reports whether all are known now.
func (c *Collector) readEndsOnce(ctx context.Context) (all bool) {
	topics := c.sortedTopics()
	c.listOffsets(ctx, topics, latestOffset, false,
		func(t *topic, p int) bool { return t.end[p] < 0 },
		func(t *topic, p int, offset int64) { t.end[p] = offset })
	stable := slices.DeleteFunc(slices.Clone(topics), func(t *topic) bool { return !t.wantStable })
	if len(stable) > 0 {
		c.listOffsets(ctx, stable, latestOffset, true,
			func(t *topic, p int) bool { return p < len(t.stable) && t.stable[p] < 0 },
			func(t *topic, p int, offset int64) { t.stable[p] = offset })
	}
	all = true
	for _, t := range topics {
		if t.problem != nil {
			continue
		}
		for p := range t.end {
			if t.end[p] < 0 || t.wantStable && (p >= len(t.stable) || t.stable[p] < 0) {
				return false
			}
		}
	}
	return all
}

// readStarts reads the start of every partition's log. A start that cannot be read keeps its last value: starts only
// move up, so an old one can only make lag larger.
func (c *Collector) readStarts(ctx context.Context) {
	c.listOffsets(ctx, c.sortedTopics(), earliestOffset, false,
		func(*topic, int) bool { return true },
		func(t *topic, p int, offset int64) { t.start[p] = offset })
}

// missingStarts reports whether a partition that has an end has no start yet.
func (c *Collector) missingStarts() bool {
	for _, t := range c.topics {
		for p := range t.start {
			if t.start[p] < 0 && t.end[p] >= 0 {
				return true
			}
		}
	}
	return false
}

// listOffsets asks the leaders, all at the same time, for an offset of each partition that want picks, and gives each
// answer to take; take and the faults are touched by one goroutine at a time. Partitions are asked of their leaders only.
func (c *Collector) listOffsets(ctx context.Context, topics []*topic, at int64, committed bool,
	want func(*topic, int) bool, take func(*topic, int, int64),
) {
	nodes := map[int32]struct{}{}
	for _, t := range topics {
		for p, leader := range t.leader {
			if leader >= 0 && want(t, p) {
				nodes[leader] = struct{}{}
			}
		}
	}
	var mu sync.Mutex
	var wait sync.WaitGroup
	for node := range nodes {
		request := encodeListOffsets(node, topics, at, committed, want)
		wait.Go(func() {
			response, err := c.ask(ctx, node, request)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				err = c.takeOffsets(response.(*rawResponse).body, take)
			} else {
				unreachable(topics, node, want)
			}
			if err != nil {
				c.nodeProblems[node] = err
			}
		})
	}
	wait.Wait()
}

// unreachable notes that the leader of the partitions that want picks did not answer.
func unreachable(topics []*topic, node int32, want func(*topic, int) bool) {
	for _, t := range topics {
		for p, leader := range t.leader {
			if leader == node && want(t, p) {
				t.fault[p] = faultUnreachable
			}
		}
	}
}

// takeOffsets gives each partition's offset in an answer to take, and notes the faults of the others.
func (c *Collector) takeOffsets(body []byte, take func(*topic, int, int64)) error {
	var name string
	var t *topic
	return decodeListOffsets(body, func(topic []byte, partition int32, offset int64, code int16) {
		if t == nil || name != string(topic) {
			name = string(topic)
			t = c.topics[name]
		}
		p := int(partition)
		if t == nil || p < 0 || p >= t.partitions() {
			return
		}
		t.fault[p] = fault(code)
		if code == 0 {
			take(t, p, offset)
		} else {
			c.telemetry.failedCode(code)
		}
	})
}

// seedAges are the ages at which a topic's history is asked for when it is new to us, so that seconds behind are known
// before samples of our own are: each step doubles.
var seedAges = []time.Duration{
	4 * time.Second, 8 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute,
	8 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour,
}

// seedNew fills the samples of topics that are new, from the timestamps of their records (KIP-79), for no longer than about
// a round of requests may take. The first time, the timeline has no past yet and gets one.
func (c *Collector) seedNew(ctx context.Context) {
	var fresh []*topic
	for _, t := range c.sortedTopics() {
		if !t.seeded && t.complete {
			fresh = append(fresh, t)
		}
		// At the first tick a topic is not complete in the sense of counting, but its ends are known.
		if !t.seeded && !t.complete && t.countedTick == c.tick {
			fresh = append(fresh, t)
		}
	}
	if len(fresh) == 0 {
		return
	}
	places := c.seedPlaces()
	began := c.wall()
	// The youngest first: where brokers are slow to answer, the older ages are left to the look-ups of single batches.
	for i := len(places) - 1; i >= 0 && c.wall().Sub(began) < c.config.RequestTimeout; i-- {
		place := places[i]
		at := c.config.Clock.Wall(time.Unix(0, c.line.middle(c.line.order[place]))).UnixMilli()
		c.listOffsets(ctx, fresh, at, false,
			func(t *topic, p int) bool { return t.end[p] > 0 },
			func(t *topic, p int, offset int64) {
				if offset < 0 {
					offset = t.end[p] // no record since then
				}
				t.samples.seed(c.line, p, place, offset)
			})
	}
	for _, t := range fresh {
		t.seeded = true
	}
}

// seedPlaces returns the places in the timeline at which to ask, oldest first. Where the timeline holds the first tick
// alone it makes the past.
func (c *Collector) seedPlaces() []int {
	if len(c.line.order) == 1 {
		c.line.past(seedAges)
		// The rows of all topics start with what was not read, which is what a free slot holds.
	}
	newest := c.line.sent[c.line.order[len(c.line.order)-1]]
	var places []int
	next := 0
	for place := len(c.line.order) - 2; place >= 0 && next < len(seedAges); place-- {
		age := time.Duration(newest - c.line.sent[c.line.order[place]])
		if age >= seedAges[next]*9/10 {
			places = append(places, place)
			for next < len(seedAges) && age >= seedAges[next]*9/10 {
				next++
			}
		}
	}
	slices.Reverse(places)
	return places
}
