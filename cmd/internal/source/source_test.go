package source

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEndpointsAreThePodsOrTheURLs(t *testing.T) {
	s := &Sources{config: Config{Addresses: func(policy string) []string {
		return map[string][]string{"ai/pods": {"10.0.0.9", "10.0.0.7", "fd00::7"}}[policy]
	}}}
	for _, tt := range []struct {
		policy    string
		endpoints Endpoints
		want      string
	}{
		{"ai/pods", Endpoints{Port: 8080}, "http://10.0.0.7:8080/metrics http://10.0.0.9:8080/metrics http://[fd00::7]:8080/metrics"},
		{"ai/pods", Endpoints{Port: 80, Path: "/m"}, "http://10.0.0.7:80/m http://10.0.0.9:80/m http://[fd00::7]:80/m"},
		{"ai/none", Endpoints{Port: 8080}, ""},
		{"ai/urls", Endpoints{URLs: []string{"https://b:1/metrics", "http://127.0.0.1:9/x", "https://b:1/metrics"}}, "http://127.0.0.1:9/x https://b:1/metrics"},
	} {
		got := strings.Join(s.endpoints(t.Context(), Policy{Name: tt.policy, Spec: Spec{Endpoints: &tt.endpoints}}), " ")
		if got != tt.want {
			t.Errorf("%s %+v: got %s, want %s", tt.policy, tt.endpoints, got, tt.want)
		}
	}
}

func TestAReplicaOfTwoFamiliesIsReadOnce(t *testing.T) {
	for _, tt := range []struct{ addresses, want string }{
		{"::1 127.0.0.1", "127.0.0.1"}, // localhost
		{"10.0.0.7 10.0.0.9 fd00::7 fd00::9", "10.0.0.7 10.0.0.9"},
		{"fd00::7 fd00::9", "fd00::7 fd00::9"},
	} {
		if got := strings.Join(replicas(strings.Fields(tt.addresses)), " "); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.addresses, got, tt.want)
		}
	}
}
