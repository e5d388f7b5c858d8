package kube

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregatorfake "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/fake"
)

const ourAPI, foreignAPI = "v1beta1.external.metrics.k8s.io", "v1beta1.custom.metrics.k8s.io"

func apiService(name, namespace, service string) *apiregistrationv1.APIService {
	return &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       apiregistrationv1.APIServiceSpec{Service: &apiregistrationv1.ServiceReference{Namespace: namespace, Name: service}},
	}
}

func certificateCluster() Clients {
	return Clients{
		Kubernetes: fake.NewClientset(),
		Aggregator: aggregatorfake.NewClientset(
			apiService(ourAPI, "prescale-system", "prescale"),
			apiService(foreignAPI, "monitoring", "prometheus-adapter"),
		),
	}
}

// verify checks what c serves as the aggregator would at now: by the APIService's bundle, for the service's name.
func verify(t *testing.T, clients Clients, c *Certificate, now time.Time) {
	t.Helper()
	service, err := clients.Aggregator.ApiregistrationV1().APIServices().Get(t.Context(), ourAPI, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(service.Spec.CABundle)
	pair, err := tls.X509KeyPair(c.Serving().CurrentCertKeyContent())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"prescale.prescale-system.svc", "127.0.0.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now}); err != nil {
			t.Errorf("at %v, for %s: %v", now, name, err)
		}
	}
}

// TestTwoReplicasThroughFourYears: at every step of an hour or less both replicas' certificates verify by the bundle that
// the aggregator has, through renewals of both kinds, although the replicas tick one after the other.
func TestTwoReplicasThroughFourYears(t *testing.T) {
	clients := certificateCluster()
	cfg := DefaultCertificateConfig()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var replicas []*Certificate
	for range 2 {
		c, err := NewCertificate(t.Context(), cfg, clients, start, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		replicas = append(replicas, c)
	}
	authorities := map[string]bool{}
	leaves := map[string]bool{}
	for now := start; now.Before(start.AddDate(4, 0, 0)); now = now.Add(5 * 24 * time.Hour) {
		for _, ticking := range replicas {
			if err := ticking.tick(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			for _, c := range replicas {
				verify(t, clients, c, now)
			}
			authorities[string(ticking.issuer)] = true
			cert, _ := ticking.Serving().CurrentCertKeyContent()
			leaves[string(cert)] = true
		}
	}
	// 4 years at two thirds of 2 years each, and 4 years at two thirds of 30 days for two replicas.
	if len(authorities) != 3 || len(leaves) < 2*70 {
		t.Errorf("%d authorities and %d certificates in four years, want 3 and at least 140", len(authorities), len(leaves))
	}
	foreign, err := clients.Aggregator.ApiregistrationV1().APIServices().Get(t.Context(), foreignAPI, metav1.GetOptions{})
	if err != nil || len(foreign.Spec.CABundle) > 0 {
		t.Errorf("an APIService that is not ours was touched: %v", err)
	}
}

func TestASpoiltAuthorityIsMadeAnew(t *testing.T) {
	clients := certificateCluster()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	cfg := DefaultCertificateConfig()
	if _, err := NewCertificate(t.Context(), cfg, clients, now, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	secrets := clients.Kubernetes.CoreV1().Secrets(cfg.Namespace)
	secret, err := secrets.Get(t.Context(), cfg.Secret, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secret.Data[authorityKey] = secret.Data[authorityKey][:20]
	if _, err := secrets.Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c, err := NewCertificate(t.Context(), cfg, clients, now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	verify(t, clients, c, now)
}

// TestAnAPIServiceThatFailsStopsNothingElse: neither the others nor the renewal of what is served, which would else expire.
func TestAnAPIServiceThatFailsStopsNothingElse(t *testing.T) {
	clients := certificateCluster()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	cfg := DefaultCertificateConfig()
	cfg.APIServices = []string{foreignAPI, ourAPI}
	c, err := NewCertificate(t.Context(), cfg, clients, now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	aggregator, ok := clients.Aggregator.(*aggregatorfake.Clientset)
	if !ok {
		t.Fatal("no fake of the aggregator")
	}
	aggregator.PrependReactor("get", "apiservices", func(a clienttesting.Action) (bool, runtime.Object, error) {
		get, ok := a.(clienttesting.GetAction)
		return ok && get.GetName() == foreignAPI, nil, apierrors.NewForbidden(apiregistrationv1.Resource("apiservices"), foreignAPI, errors.New("no"))
	})
	service, err := aggregator.ApiregistrationV1().APIServices().Get(t.Context(), ourAPI, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	service.Spec.CABundle = nil
	if _, err := aggregator.ApiregistrationV1().APIServices().Update(t.Context(), service, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 12 {
		now = now.Add(5 * 24 * time.Hour)
		if err := c.tick(t.Context(), now); err == nil || !strings.Contains(err.Error(), foreignAPI) {
			t.Errorf("at %v: got %v, want what is wrong with %s", now, err, foreignAPI)
		}
		verify(t, clients, c, now)
	}
}
