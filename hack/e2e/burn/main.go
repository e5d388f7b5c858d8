// Command burn takes all the CPU that it is given in the first pod of a StatefulSet, whose name ends in -0, and none in the
// others: the consumer of a hot partition, as far as its node can see.
package main

import (
	"os"
	"strings"
	"time"
)

func main() {
	name, err := os.Hostname()
	for err == nil && strings.HasSuffix(name, "-0") {
	}
	time.Sleep(24 * time.Hour)
}
