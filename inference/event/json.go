package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// Unmarshal is json.Unmarshal for what others send: of a wrong type it tells in the terms of the text, with the path of the key, and not
// in those of the Go value that it is read into.
func Unmarshal(b []byte, into any) error {
	err := json.Unmarshal(b, into)
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	text := fmt.Sprintf("got JSON's %s: want %s", wrong.Value, inWords(wrong.Type))
	if wrong.Field != "" {
		text = wrong.Field + ": " + text
	}
	return errors.New(text)
}

func inWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "an array"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	default:
		return "an object"
	}
}
