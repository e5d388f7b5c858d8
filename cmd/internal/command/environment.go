package command

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// Environment sets every flag that was not given on the command line from its variable (see EnvironmentName), where there
// is one. All bad values are reported at once.
func Environment(flags *pflag.FlagSet, binary string) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := EnvironmentName(binary, f.Name)
		value, ok := os.LookupEnv(name)
		if !ok || f.Changed {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", name, badValue(err)))
		}
	})
	return Input(errors.Join(errs...))
}

// EnvironmentName returns the variable that stands for a flag: "service-time" of the binary "inference" is
// INFERENCE_SERVICE_TIME.
func EnvironmentName(binary, flag string) string {
	return strings.ToUpper(strings.ReplaceAll(binary+"_"+flag, "-", "_"))
}
