// Command forecaster scores the forecaster on public data: the rolling-origin protocol on arrival traces (rolling), a
// fresh model's first forecasts on them (cold) and the M4 hourly competition (m4). The data's folder is named by PRESCALE_DATA.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench forecaster:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	data := os.Getenv("PRESCALE_DATA")
	if data == "" {
		return fmt.Errorf("set PRESCALE_DATA to the folder that holds traces/, m4_hourly/ and baselines.csv")
	}
	if len(args) == 0 {
		return fmt.Errorf("usage: forecaster rolling [-rows] [TRACE…] | cold [TRACE…] | m4")
	}
	switch args[0] {
	case "rolling":
		return rolling(data, args[1:])
	case "cold":
		return cold(data, args[1:])
	case "m4":
		return m4(data)
	default:
		return fmt.Errorf("unknown table %q", args[0])
	}
}
