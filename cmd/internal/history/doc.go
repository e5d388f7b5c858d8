// Package history reads the past of a series from where users keep it: CSV files and the M4 competition's one series a line
// (csv.go, m4.go), a Prometheus server (prometheus.go) and the timestamps of Kafka topics (topic.go); source.go reads the
// one that a policy names. Its main type is the Series. Every mistake is told with its place and what was expected. It forecasts nothing.
package history
