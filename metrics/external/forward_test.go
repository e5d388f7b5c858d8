package external_test

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/prescale/prescale/metrics/external"
	"github.com/prescale/prescale/metrics/external/certificate"
)

// formerOwner is a metrics API that remembers what it was asked.
type formerOwner struct {
	*httptest.Server
	mu   sync.Mutex
	last *http.Request
}

func newFormerOwner(t *testing.T) *formerOwner {
	t.Helper()
	o := &formerOwner{}
	o.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.last = r
		o.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","items":[{},{},{}]}`))
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *formerOwner) asked() *http.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

// forwardTo returns a Forward that trusts the owner's certificate and brings a token.
func forwardTo(t *testing.T, o *formerOwner) *external.Forward {
	t.Helper()
	dir := t.TempDir()
	f := external.DefaultForward()
	f.URL, f.CAFile, f.TokenFile = o.URL, filepath.Join(dir, "ca.crt"), filepath.Join(dir, "token")
	f.Metrics = []string{"s[0-9]+-.*"}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.Certificate().Raw})
	if err := os.WriteFile(f.CAFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.TokenFile, []byte("ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &f
}

func TestForwardingToAFormerOwner(t *testing.T) {
	owner := newFormerOwner(t)
	cfg := external.DefaultConfig()
	cfg.Forward = forwardTo(t, owner)
	server := start(t, cfg, newMemory())
	client := httpClient(t, server)
	for _, test := range []struct {
		path      string
		forwarded bool
	}{
		{em + "/namespaces/ai/s0-kafka?labelSelector=scaledobject.keda.sh%2Fname%3Dweb", true},
		{em + "/namespaces/ai/desired?labelSelector=scaledobject.keda.sh%2Fname%3Dweb", true},
		{em + "/namespaces/ai/s12-prometheus", true},
		{em + "/namespaces/ai/xs12-prometheus", false}, // the whole name has to match
		{em + "/namespaces/ai/desired?labelSelector=policy%3Dinference", false},
		{cm2 + "/namespaces/ai/scalepolicies.prescale.dev/*/desired", false},
		{cm2 + "/namespaces/ai/scalepolicies.prescale.dev/*/desired?labelSelector=scaledobject.keda.sh%2Fname%3Dweb", false}, // another API
		{em, false},
		{"/readyz", false},
	} {
		owner.mu.Lock()
		owner.last = nil
		owner.mu.Unlock()
		request, err := http.NewRequest(http.MethodGet, "https://"+server.Addr()+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		// What a client says of itself must not travel on.
		request.Header.Set("X-Remote-User", "forged")
		request.Header.Set("X-Remote-Group", "system:masters")
		request.Header.Set("Authorization", "Bearer theirs")
		request.Header.Set("Cookie", "session=theirs")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		asked := owner.asked()
		if (asked != nil) != test.forwarded {
			t.Errorf("%s: forwarded %t, want %t", test.path, asked != nil, test.forwarded)
			continue
		}
		if asked == nil {
			continue
		}
		if asked.URL.RequestURI() != test.path || asked.Header.Get("Impersonate-User") != "system:anonymous" || asked.Header.Get("Authorization") != "Bearer ours" || asked.Header.Get("X-Remote-User") != "" ||
			asked.Header.Get("X-Remote-Group") != "" || asked.Header.Get("Cookie") != "" {
			t.Errorf("%s: the former owner was asked for %s with %v", test.path, asked.URL.RequestURI(), asked.Header)
		}
	}
}

// TestWithAFrontProxysCertificateTheCallerGoesInItsHeaders, as the aggregator sends it, and no token of ours with it.
func TestWithAFrontProxysCertificateTheCallerGoesInItsHeaders(t *testing.T) {
	asked := make(chan *http.Request, 1)
	owner := &formerOwner{Server: httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r }))}
	owner.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	owner.StartTLS()
	defer owner.Close()
	authority, err := certificate.NewAuthority("front-proxy", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := authority.Issue([]string{"aggregator"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cfg := external.DefaultConfig()
	cfg.Forward = forwardTo(t, owner)
	cfg.Forward.ProxyCertFile, cfg.Forward.ProxyKeyFile = filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	if err := errors.Join(os.WriteFile(cfg.Forward.ProxyCertFile, cert, 0o600), os.WriteFile(cfg.Forward.ProxyKeyFile, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	if response, body := get(t, start(t, cfg, newMemory()), em+"/namespaces/ai/s0-kafka"); response.StatusCode != http.StatusOK {
		t.Fatalf("got %s: %s", response.Status, body)
	}
	r := <-asked
	if got := r.TLS.PeerCertificates[0].DNSNames; len(got) != 1 || got[0] != "aggregator" {
		t.Errorf("the certificate is for %v", got)
	}
	if r.Header.Get("X-Remote-User") != "system:anonymous" || r.Header.Get("Authorization") != "" || r.Header.Get("Impersonate-User") != "" {
		t.Errorf("the former owner was asked with %v", r.Header)
	}
}

func TestAFormerOwnerThatIsNotTrustedOrGoneIsAnError(t *testing.T) {
	owner, other := newFormerOwner(t), newFormerOwner(t)
	cfg := external.DefaultConfig()
	cfg.Forward = forwardTo(t, other)
	cfg.Forward.URL = owner.URL
	cfg.Forward.ServerName = "not-the-name-of-the-owner.example"
	server := start(t, cfg, newMemory())
	for range 2 {
		response, body := get(t, server, em+"/namespaces/ai/s0-kafka")
		var status metav1.Status
		if err := json.Unmarshal([]byte(body), &status); err != nil || response.StatusCode != http.StatusServiceUnavailable || status.Kind != "Status" {
			t.Errorf("got %s: %s", response.Status, body)
		}
		if owner.asked() != nil {
			t.Error("an owner whose certificate does not verify was asked")
		}
		owner.Close()
	}
	if response, body := get(t, server, em+"/namespaces/ai/desired"); response.StatusCode != http.StatusOK || !strings.Contains(body, `"metricName":"desired"`) {
		t.Errorf("our own metric: got %s: %s", response.Status, body)
	}
}

// TestAFormerOwnerThatHangsIsGivenUp: its answer is waited for no longer than Forward.Timeout.
func TestAFormerOwnerThatHangsIsGivenUp(t *testing.T) {
	given := make(chan struct{})
	owner := &formerOwner{Server: httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-given }))}
	defer owner.Close()
	defer close(given)
	cfg := external.DefaultConfig()
	cfg.Forward = forwardTo(t, owner)
	cfg.Forward.Timeout = 50 * time.Millisecond
	began := time.Now()
	response, body := get(t, start(t, cfg, newMemory()), em+"/namespaces/ai/s0-kafka")
	if response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "did not answer") {
		t.Errorf("got %s: %s", response.Status, body)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}
