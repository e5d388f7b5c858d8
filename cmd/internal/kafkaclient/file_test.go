package kafkaclient

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFlagsNameOneCluster(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "kafka.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("brokers: [kafka:9093]\ntls: {}\nsasl: {mechanism: PLAIN, username: u, passwordFile: /p}\n")
	for _, tt := range []struct {
		brokers       []string
		file          string
		broker, fault string
	}{
		{nil, "", "localhost:9092", ""},
		{[]string{"a:1"}, "", "a:1", ""},
		{nil, good, "kafka:9093", ""},
		{[]string{}, "", "", "--brokers: none: want at least one host:port"}, // --brokers ""
		{[]string{"a:1"}, good, "", "give one of them"},
		{[]string{"a"}, "", "", "--brokers[0]: \"a\""},
		{nil, "/nowhere.yaml", "", "--kafka-config"},
		{nil, write("broker: [a:1]"), "", `unknown field "broker"`},
		{nil, write("brokers: []"), "", "brokers: none"},
	} {
		c, err := Flags(tt.brokers, tt.file)
		switch {
		case tt.fault == "" && (err != nil || c.Brokers[0] != tt.broker):
			t.Errorf("%v %s: %+v, %v", tt.brokers, tt.file, c, err)
		case tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)):
			t.Errorf("%v %s: got %v, want %q", tt.brokers, tt.file, err, tt.fault)
		}
	}
}
