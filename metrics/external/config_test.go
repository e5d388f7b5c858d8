package external

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestValidateTellsEveryFault(t *testing.T) {
	for _, tt := range []struct {
		change func(*Config)
		want   string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.Address = "localhost:0" }, ""},
		{func(c *Config) { c.Address = "[::1]:0" }, ""},
		{func(c *Config) { c.Address = "6443" }, `metricsAPI.address: "6443": want host:port such as 127.0.0.1:6443`},
		{func(c *Config) { c.Address = "example.com:6443" }, `metricsAPI.access: Open: only allowed on a loopback address, and metricsAPI.address is "example.com:6443"; use 127.0.0.1 or access: Delegated with a kubeconfig`},
		{func(c *Config) { c.Address, c.Access = "0.0.0.0:6443", AccessDelegated }, ""},
		{func(c *Config) { c.Access = "" }, `metricsAPI.access: "": want Delegated or Open`},
		{func(c *Config) { c.Kubeconfig = "kube" }, `metricsAPI.kubeconfig: "kube": has no effect with access: Open; remove it or use access: Delegated`},
		{func(c *Config) { c.CertFile = "crt" }, "metricsAPI.certFile, metricsAPI.keyFile: want both or neither"},
		{func(c *Config) { c.Hosts = nil }, "metricsAPI.hosts: want at least one name or address for the self-signed certificate"},
		{func(c *Config) { c.CertFile, c.KeyFile, c.Hosts = "crt", "key", nil }, ""},
		{func(c *Config) { c.ShutdownDelay = -1 }, "metricsAPI.shutdownDelay: -1ns: want 0 or more"},
		{func(c *Config) { c.ObjectKind = "" }, "objectKind, objectLabel: want both with object scalepolicies"},
		{func(c *Config) { c.ObjectLabel = "" }, "objectKind, objectLabel: want both with object scalepolicies"},
		{func(c *Config) { c.Object.Resource, c.ObjectKind, c.ObjectLabel = "", "", "" }, ""},
		{func(c *Config) {
			c.Forward = &Forward{URL: "https://o", CAFile: "ca", Metrics: []string{"a"}, TokenFile: "t"}
		}, ""},
		{func(c *Config) {
			c.Forward = &Forward{URL: "https://o", CAFile: "ca", Selectors: []string{"a"}, ProxyCertFile: "crt", ProxyKeyFile: "key"}
		}, ""},
		{func(c *Config) { c.Forward = &Forward{URL: "http://o", Metrics: []string{"("}, ProxyKeyFile: "key"} }, `metricsAPI.forward.url: "http://o": want https://service.namespace.svc` +
			"\nmetricsAPI.forward.caFile: want a file with the certificates that the former owner is verified against" +
			"\nmetricsAPI.forward.metrics[0]: \"(\": error parsing regexp: missing closing ): `(`" +
			"\nmetricsAPI.forward.proxyCertFile, metricsAPI.forward.proxyKeyFile: want both or neither"},
		{func(c *Config) { c.Forward = &Forward{URL: "https://", CAFile: "ca"} }, `metricsAPI.forward.url: "https://": want https://service.namespace.svc` +
			"\nmetricsAPI.forward: want selectors or metrics, or nothing is handed on\nmetricsAPI.forward: want proxyCertFile and proxyKeyFile, or tokenFile"},
		{func(c *Config) {
			c.Forward = &Forward{URL: "https://%", CAFile: "ca", Metrics: []string{"a"}, TokenFile: "t"}
		}, `metricsAPI.forward.url: "https://%": want https://service.namespace.svc`},
	} {
		c := DefaultConfig()
		tt.change(&c)
		got := ""
		if err := c.Validate(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("got %s\nwant %s", got, tt.want)
		}
	}
}

// TestWhatAClientSaysOfItselfIsTakenOff: the former owner would believe us that it is so.
func TestWhatAClientSaysOfItselfIsTakenOff(t *testing.T) {
	h := http.Header{}
	for _, key := range []string{"Authorization", "Cookie", "X-Remote-User", "X-Remote-Group", "X-Remote-Extra-Scopes", "Impersonate-User", "Impersonate-Group",
		"Impersonate-Uid", "Impersonate-Extra-Scopes", "Accept", "User-Agent"} {
		h.Set(key, "forged")
	}
	h["impersonate-user"] = []string{"forged"} // as a client that does not write it in the usual way has it
	stripIdentity(h)
	if got := slices.Sorted(maps.Keys(h)); !slices.Equal(got, []string{"Accept", "User-Agent"}) {
		t.Errorf("left: %v", got)
	}
}

// TestTheLibrariesInformationIsForDebugging, and what they warn of is not.
func TestTheLibrariesInformationIsForDebugging(t *testing.T) {
	for _, tt := range []struct {
		least slog.Level
		want  string
	}{
		{slog.LevelInfo, "level=WARN msg=warns part=x\nlevel=ERROR msg=errs part=x\n"},
		{slog.LevelDebug, "level=DEBUG msg=tells part=x\nlevel=WARN msg=warns part=x\nlevel=ERROR msg=errs part=x\n"},
	} {
		var out strings.Builder
		handler := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: tt.least, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})
		logger := slog.New(demote{handler}).With("part", "x")
		logger.Log(t.Context(), slog.LevelDebug-4, "traces")
		logger.Info("tells")
		logger.Warn("warns")
		logger.Error("errs")
		if out.String() != tt.want {
			t.Errorf("from %v on:\n%swant\n%s", tt.least, out.String(), tt.want)
		}
	}
}
