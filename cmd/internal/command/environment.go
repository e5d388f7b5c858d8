package command

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// Environment sets every flag that was not given on the command line from the variable prefix_FLAG_NAME, where there is
// one, and notes the variable's name in the flag's help. All bad values are reported at once.
func Environment(flags *pflag.FlagSet, prefix string) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := EnvironmentName(prefix, f.Name)
		value, ok := os.LookupEnv(name)
		if !ok || f.Changed {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", name, err))
		}
	})
	return Input(errors.Join(errs...))
}

// EnvironmentName returns the variable that stands for a flag: "service-time" with prefix "INFERENCE" is
// INFERENCE_SERVICE_TIME.
func EnvironmentName(prefix, flag string) string {
	return prefix + "_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
