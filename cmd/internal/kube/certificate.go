package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/prescale/prescale/metrics/external/certificate"
)

// CertificateConfig says where the authority is kept and whom it vouches for.
type CertificateConfig struct {
	// Namespace and Service are our Service, which the APIServices name.
	Namespace, Service string
	// Secret keeps the authority, shared by all replicas.
	Secret string
	// APIServices get the authority as their caBundle, where they are there and name our Service.
	APIServices []string
	// AuthorityLifetime and ServingLifetime are how long certificates are good for; each is renewed after two thirds.
	AuthorityLifetime, ServingLifetime time.Duration
	// Check is how often Run looks.
	Check time.Duration
}

// DefaultCertificateConfig is right for manifests/base.
func DefaultCertificateConfig() CertificateConfig {
	return CertificateConfig{
		Namespace: "prescale-system",
		Service:   "prescale",
		Secret:    "prescale-serving-ca",
		APIServices: []string{
			"v1beta1.external.metrics.k8s.io",
			"v1beta1.custom.metrics.k8s.io",
			"v1beta2.custom.metrics.k8s.io",
		},
		AuthorityLifetime: 2 * 365 * 24 * time.Hour,
		ServingLifetime:   30 * 24 * time.Hour,
		Check:             time.Minute,
	}
}

// The keys of the Secret.
const (
	authorityCert = "ca.crt"
	authorityKey  = "ca.key"
	// previousCert is the authority before the present one: replicas that have not noticed yet still serve under it.
	previousCert = "previous.crt"
)

// Certificate keeps the serving certificate and has the aggregator trust it. All replicas share one authority, kept in a
// Secret, and each issues its own certificate. The order is what makes a change of authority seamless: the Secret first,
// then the APIServices, which trust the old and the new, then what is served.
type Certificate struct {
	cfg     CertificateConfig
	clients Clients
	logger  *slog.Logger
	serving *certificate.Serving
	// issuer is the certificate of the authority that signed what is served.
	issuer []byte
}

// NewCertificate makes the first certificate; it creates the authority when it is the first replica ever.
func NewCertificate(ctx context.Context, cfg CertificateConfig, clients Clients, now time.Time, logger *slog.Logger) (*Certificate, error) {
	c := &Certificate{cfg: cfg, clients: clients, logger: logger}
	if err := c.tick(ctx, now); err != nil {
		return nil, err
	}
	return c, nil
}

// Serving returns the certificate to serve with.
func (c *Certificate) Serving() *certificate.Serving { return c.serving }

// Run renews in time until ctx is cancelled, and then returns nil. A failure is logged and tried again at the next tick; what
// is served stays good for a third of its life.
func (c *Certificate) Run(ctx context.Context) error {
	ticker := time.NewTicker(c.cfg.Check)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			if err := c.tick(ctx, now); err != nil && ctx.Err() == nil {
				c.logger.Error("keeping the serving certificate failed; the present one is still served", "error", err)
			}
		}
	}
}

func (c *Certificate) tick(ctx context.Context, now time.Time) error {
	authority, bundle, err := c.authority(ctx, now)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range c.cfg.APIServices {
		errs = append(errs, c.inject(ctx, name, bundle))
	}
	// What comes of another authority has to be trusted first. Under the one that is trusted already a renewal waits for no APIService.
	untold := errors.Join(errs...)
	if untold != nil && !bytes.Equal(c.issuer, authority.CertPEM()) {
		return untold
	}
	return errors.Join(untold, c.issue(authority, now))
}

// authority returns the shared authority and the bundle to trust, creating or renewing it when it is time.
func (c *Certificate) authority(ctx context.Context, now time.Time) (*certificate.Authority, []byte, error) {
	secrets := c.clients.Kubernetes.CoreV1().Secrets(c.cfg.Namespace)
	where := c.cfg.Namespace + "/" + c.cfg.Secret
	// Another replica may do the same at the same time; whoever comes second takes what the first one wrote.
	for range 5 {
		secret, err := secrets.Get(ctx, c.cfg.Secret, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			secret, err = c.newSecret(now)
			if err != nil {
				return nil, nil, err
			}
			_, err = secrets.Create(ctx, secret, metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) {
				continue
			}
			if err != nil {
				return nil, nil, fmt.Errorf("create secret %s: %w", where, err)
			}
			c.logger.Info("created the authority of the serving certificate", "secret", where)
		case err != nil:
			return nil, nil, fmt.Errorf("read secret %s: %w", where, err)
		}
		authority, err := certificate.ParseAuthority(secret.Data[authorityCert], secret.Data[authorityKey])
		if err == nil && now.Before(authority.RenewAt()) {
			return authority, bytes.Join([][]byte{secret.Data[authorityCert], secret.Data[previousCert]}, nil), nil
		}
		if err != nil {
			// Without a good authority nothing can be served; the aggregator trusted the bad one at most.
			c.logger.Warn("the authority of the serving certificate cannot be read and is made anew", "secret", where, "error", err)
		}
		renewed, err := c.newSecret(now)
		if err != nil {
			return nil, nil, err
		}
		renewed.ResourceVersion = secret.ResourceVersion
		if authority != nil {
			renewed.Data[previousCert] = authority.CertPEM()
		}
		if _, err := secrets.Update(ctx, renewed, metav1.UpdateOptions{}); err != nil && !apierrors.IsConflict(err) {
			return nil, nil, fmt.Errorf("renew secret %s: %w", where, err)
		}
	}
	return nil, nil, fmt.Errorf("secret %s: changed under every attempt to read or renew it", where)
}

func (c *Certificate) newSecret(now time.Time) (*corev1.Secret, error) {
	authority, err := certificate.NewAuthority("prescale serving authority", now, c.cfg.AuthorityLifetime)
	if err != nil {
		return nil, err
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: c.cfg.Secret, Namespace: c.cfg.Namespace},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{authorityCert: authority.CertPEM(), authorityKey: authority.KeyPEM()},
	}, nil
}

// inject writes the bundle into an APIService, when it is there and ours.
func (c *Certificate) inject(ctx context.Context, name string, bundle []byte) error {
	services := c.clients.Aggregator.ApiregistrationV1().APIServices()
	service, err := services.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read APIService %s: %w", name, err)
	}
	ref := service.Spec.Service
	if ref == nil || ref.Namespace != c.cfg.Namespace || ref.Name != c.cfg.Service || bytes.Equal(service.Spec.CABundle, bundle) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"caBundle": bundle}})
	if err != nil {
		return fmt.Errorf("encode caBundle: %w", err)
	}
	if _, err := services.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "prescale"}); err != nil {
		return fmt.Errorf("write caBundle of APIService %s: %w", name, err)
	}
	c.logger.Info("the aggregator now trusts our serving certificate", "apiService", name)
	return nil
}

// issue makes a new serving certificate when there is none, when it is time, or when another authority has taken over.
func (c *Certificate) issue(authority *certificate.Authority, now time.Time) error {
	if c.serving != nil && bytes.Equal(c.issuer, authority.CertPEM()) && now.Before(c.serving.RenewAt()) {
		return nil
	}
	short := c.cfg.Service + "." + c.cfg.Namespace
	cert, key, err := authority.Issue([]string{short + ".svc", short, short + ".svc.cluster.local", "localhost", "127.0.0.1", "::1"},
		now, c.cfg.ServingLifetime)
	if err != nil {
		return err
	}
	if c.serving == nil {
		if c.serving, err = certificate.NewServing(cert, key); err != nil {
			return err
		}
	} else if err := c.serving.Set(cert, key); err != nil {
		return err
	}
	c.issuer = authority.CertPEM()
	return nil
}
