package command

import (
	"os"
	"runtime/debug"
	"strconv"
)

// memoryVariable holds the memory limit of the process's container, in bytes; the manifests set it.
const memoryVariable = "MEMORY_LIMIT_BYTES"

// limitMemory has the garbage collector keep the process a tenth below its container's limit, unless GOMEMLIMIT says where: the kernel
// counts what Go does not, such as buffers of sockets and the program itself, and kills at the limit.
func limitMemory() error {
	text := os.Getenv(memoryVariable)
	if text == "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	limit, err := strconv.ParseInt(text, 10, 64)
	if err != nil || limit <= 0 {
		return Inputf("environment variable %s: %q: want the container's memory limit in bytes, such as 536870912", memoryVariable, text)
	}
	debug.SetMemoryLimit(limit / 10 * 9)
	return nil
}
