package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Decode reads YAML or JSON over the defaults that already stand in *into, a pointer to a struct with json tags. Every
// problem is reported, each a *KeyError: unknown keys, wrong types, values that a type refuses. Keys that are absent or null
// leave the default. More than one document is an error: the others would be passed over.
func Decode(data []byte, into any) error {
	asJSON, err := toJSON(data)
	if err != nil {
		return err
	}
	d := decoder{}
	d.value(asJSON, reflect.ValueOf(into).Elem(), "")
	return errors.Join(d.problems...)
}

// toJSON turns the one YAML document that data may be into JSON.
func toJSON(data []byte) ([]byte, error) {
	if n := documents(data); n > 1 {
		return nil, fmt.Errorf("%d documents: want one to a file, without a line ---", n)
	}
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		if line := notFinite.FindIndex(data); line != nil {
			return nil, fmt.Errorf("read YAML: line %d: %s: want a finite number", 1+bytes.Count(data[:line[0]], []byte("\n")),
				data[line[0]+1:line[1]])
		}
		return nil, fmt.Errorf("read YAML: %w", err)
	}
	return asJSON, nil
}

// notFinite finds a number that YAML has and JSON has not, whose converter does not say where.
var notFinite = regexp.MustCompile(`(?i)[\s:,\[][-+]?\.(inf|nan)\b`)

// documents counts the YAML documents that are not empty.
func documents(data []byte) int {
	n, empty := 0, true
	for line := range bytes.Lines(data) {
		// What ends a document stands at the beginning of its line, and may have a comment or the next one's beginning behind it.
		if rest, ok := bytes.CutPrefix(line, []byte("---")); ok && (len(rest) == 0 || rest[0] <= ' ') {
			line, empty = rest, true
		}
		line = bytes.TrimSpace(line)
		if empty && len(line) > 0 && line[0] != '#' && line[0] != '%' { // %YAML 1.1 belongs to the next
			n, empty = n+1, false
		}
	}
	return n
}

// KeyError is one problem of one key.
//
// +kubebuilder:object:generate=false
type KeyError struct {
	// Path leads to the key: spec.replicas.max, policies[0].metadata.
	Path string
	// Text says what was found and what is wanted.
	Text string
}

func (e *KeyError) Error() string { return e.Path + ": " + e.Text }

// decoder walks a JSON text and a Go value side by side. encoding/json stops at the first wrong type; a person who mends a
// file wants all of them at once.
type decoder struct{ problems []error }

func (d *decoder) problem(path, format string, args ...any) {
	if path == "" {
		path = "(top level)"
	}
	d.problems = append(d.problems, &KeyError{path, fmt.Sprintf(format, args...)})
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

func (d *decoder) value(data json.RawMessage, v reflect.Value, path string) {
	if string(data) == "null" {
		return // The default stays.
	}
	if v.CanAddr() && v.Addr().Type().Implements(unmarshaler) {
		d.leaf(data, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(data, v.Elem(), path)
	case reflect.Struct:
		d.object(data, v, path)
	case reflect.Map:
		d.dictionary(data, v, path)
	case reflect.Slice:
		d.list(data, v, path)
	default:
		d.leaf(data, v, path)
	}
}

func (d *decoder) leaf(data json.RawMessage, v reflect.Value, path string) {
	if err := json.Unmarshal(data, v.Addr().Interface()); err != nil {
		var wrongType *json.UnmarshalTypeError
		if errors.As(err, &wrongType) || v.Type() == durationType {
			d.problem(path, "%s: want %s", shown(data), kindInWords(v.Type()))
		} else {
			d.problem(path, "%s: %v", shown(data), err)
		}
	}
}

var durationType = reflect.TypeFor[metav1.Duration]()

// shown is the value as a message shows it: the beginning of one that is long, such as that of a file that is no YAML.
func shown(data json.RawMessage) string {
	const most = 80
	text := strings.ToValidUTF8(string(data[:min(most, len(data))]), "")
	if len(data) > most {
		text += "…"
	}
	return text
}

func kindInWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int32:
		return fmt.Sprintf("a whole number, at most %d", math.MaxInt32)
	case reflect.Int, reflect.Int64, reflect.Uint16:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	default:
		if t == durationType {
			return "a duration such as 15s, 5m or 192h"
		}
		return "a " + t.Name()
	}
}

func (d *decoder) object(data json.RawMessage, v reflect.Value, path string) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		d.problem(path, "%s: want keys and values", shown(data))
		return
	}
	fields := map[string]reflect.Value{}
	collectFields(v, fields)
	known := slices.Sorted(maps.Keys(fields))
	for _, key := range slices.Sorted(maps.Keys(members)) {
		field, ok := fields[key]
		if !ok {
			d.problem(join(path, key), "unknown key; known here: %s", strings.Join(known, ", "))
			continue
		}
		d.value(members[key], field, join(path, key))
	}
}

// collectFields gathers the fields of a struct by their JSON names, those of inlined structs with them.
func collectFields(v reflect.Value, into map[string]reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case f.Anonymous && name == "" || strings.Contains(options, "inline"):
			collectFields(v.Field(i), into)
		case name != "":
			into[name] = v.Field(i)
		}
	}
}

func (d *decoder) dictionary(data json.RawMessage, v reflect.Value, path string) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		d.problem(path, "%s: want keys and values", shown(data))
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, key := range slices.Sorted(maps.Keys(members)) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(members[key], element, join(path, key))
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), element)
	}
}

func (d *decoder) list(data json.RawMessage, v reflect.Value, path string) {
	var members []json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		d.problem(path, "%s: want a list", shown(data))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(members), len(members))
	for i, member := range members {
		d.value(member, list.Index(i), path+"["+strconv.Itoa(i)+"]")
	}
	v.Set(list)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
