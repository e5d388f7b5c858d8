package command

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"
)

// BadFlag says of a flag that cannot be read what is wanted. Of one that is not known it says whose --help lists them.
func BadFlag(binary string, err error) error {
	if value := (*pflag.InvalidValueError)(nil); errors.As(err, &value) {
		return Inputf("--%s: %w", value.GetFlag().Name, badValue(err))
	}
	return Inputf("%w; %s --help lists the flags", err, binary)
}

// badValue puts what pflag says of a value into the user's terms.
func badValue(err error) error {
	var value *pflag.InvalidValueError
	if !errors.As(err, &value) {
		return err
	}
	want, ok := map[string]string{
		"duration": "a number with its unit, such as 90s, 5m or 24h", "int": "a whole number", "int32": "a whole number",
		"uint64":  "a whole number from 0",
		"float64": "a number", "float64Slice": "numbers with commas between", "bool": "true or false",
	}[value.GetFlag().Value.Type()]
	if !ok {
		want = value.GetFlag().Usage
	}
	return fmt.Errorf("%q: want %s", value.GetValue(), want)
}
