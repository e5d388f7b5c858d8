// Package chaos kills, stops and restarts daemons and brokers while they work, and proves from the log that nothing was
// lost and nothing done twice. It holds tests alone: a short form that `go test -tags integration` runs, and with
// -chaos.actions the long one of hack/chaos.sh.
package chaos
