package command

import (
	"os"
	"strconv"
)

// Instance names this process among its replicas: $POD_NAME where it is set, which outlives a restart of the container,
// otherwise the host's name and the process id.
func Instance() string {
	if pod := os.Getenv("POD_NAME"); pod != "" {
		return pod
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return host + "-" + strconv.Itoa(os.Getpid())
}
