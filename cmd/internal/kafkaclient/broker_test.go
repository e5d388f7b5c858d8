//go:build integration

package kafkaclient

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	rig "github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/metrics/collector/kafka"
)

const rightPassword, wrongPassword = "correct horse battery", "incorrect donkey"

// vault is a directory of secrets.
type vault struct {
	t   *testing.T
	dir string
}

func (v vault) file(name string, content []byte) string {
	v.t.Helper()
	path := filepath.Join(v.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		v.t.Fatal(err)
	}
	return path
}

// token is an unsigned JWT, which the rig's broker believes.
func token(subject string) []byte {
	encode := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	now := time.Now().Unix()
	return []byte(encode(map[string]string{"alg": "none"}) + "." +
		encode(map[string]any{"sub": subject, "iat": now, "exp": now + 3600, "scope": "kafka"}) + ".")
}

// collect makes a client of the configuration and lets a collector ask through it, as the daemon does.
func collect(t *testing.T, config Config) error {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(config.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	settings := kafka.DefaultConfig()
	settings.Cluster, settings.Security, settings.RequestTimeout = "main", config.Security(), 15*time.Second
	collector, err := kafka.New(settings, client, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = collector.Collect(ctx, time.Now())
	return err
}

func issue(t *testing.T, v vault, authority *rig.Authority, name string, notAfter time.Time) (certFile, keyFile string) {
	t.Helper()
	certificate, key, err := authority.Issue(rig.Certificate{Name: name, NotAfter: notAfter})
	if err != nil {
		t.Fatal(err)
	}
	return v.file(name+".crt", certificate), v.file(name+".key", key)
}

// TestEveryWayIn connects to a real broker by every protocol it offers, with the right secrets and with wrong ones.
func TestEveryWayIn(t *testing.T) {
	authority, err := rig.NewAuthority("test authority")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := rig.NewAuthority("another authority")
	if err != nil {
		t.Fatal(err)
	}
	cluster := rig.ForTest(t, rig.Options{
		Users: []rig.User{{Name: "alice", Password: rightPassword}}, OAuth: true, TLS: authority,
	})
	v := vault{t, t.TempDir()}
	right, wrong := v.file("right", []byte(rightPassword+"\n")), v.file("wrong", []byte(wrongPassword))
	ca, otherCA := v.file("ca.pem", authority.PEM()), v.file("other.pem", stranger.PEM())
	aliceCert, aliceKey := issue(t, v, authority, "alice", time.Time{})
	oldCert, oldKey := issue(t, v, authority, "old", time.Now().Add(-time.Hour))
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		_, encoded, _ := request.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		// RFC 6749, section 2.3.1: the secret is form-encoded first.
		if secret, err := url.QueryUnescape(encoded); err != nil || secret != rightPassword {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":"%s is wrong"}`, secret)
			return
		}
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":3600}`, token("alice"))
	}))
	defer tokens.Close()

	password := func(mechanism Mechanism, file string) *SASL {
		return &SASL{Mechanism: mechanism, Username: "alice", PasswordFile: file}
	}
	credentials := func(file string) *SASL {
		return &SASL{Mechanism: OAuthBearer, ClientCredentials: &ClientCredentials{
			TokenURL: tokens.URL, ClientID: "prescale", ClientSecretFile: file}}
	}
	trust := &TLS{CAFile: ca}
	for _, tt := range []struct {
		name     string
		listener rig.Listener
		tls      *TLS
		sasl     *SASL
		says     []string // of the error; none when it should work
	}{
		{"plaintext", rig.Plain, nil, nil, nil},
		{"TLS", rig.TLS, trust, nil, nil},
		{"mutual TLS", rig.TLS, &TLS{CAFile: ca, CertFile: aliceCert, KeyFile: aliceKey}, nil, nil},
		{"PLAIN", rig.SASL, nil, password(Plain, right), nil},
		{"PLAIN over TLS", rig.SASLTLS, trust, password(Plain, right), nil},
		{"SCRAM-SHA-256", rig.SASL, nil, password(ScramSHA256, right), nil},
		{"SCRAM-SHA-512 over TLS", rig.SASLTLS, trust, password(ScramSHA512, right), nil},
		{"OAUTHBEARER by file", rig.SASL, nil, &SASL{Mechanism: OAuthBearer, TokenFile: v.file("token", token("alice"))}, nil},
		{"OAUTHBEARER by client credentials", rig.SASLTLS, trust, credentials(right), nil},

		{"PLAIN, wrong password", rig.SASL, nil, password(Plain, wrong),
			[]string{"cluster main", "(PLAIN)", "SASL_AUTHENTICATION_FAILED"}},
		{"SCRAM-SHA-256, wrong password", rig.SASLTLS, trust, password(ScramSHA256, wrong),
			[]string{"cluster main", "(SCRAM-SHA-256 over TLS)", "SASL_AUTHENTICATION_FAILED"}},
		{"SCRAM-SHA-512, wrong password", rig.SASL, nil, password(ScramSHA512, wrong),
			[]string{"cluster main", "(SCRAM-SHA-512)", "SASL_AUTHENTICATION_FAILED"}},
		{"client credentials, wrong secret", rig.SASL, nil, credentials(wrong),
			[]string{"cluster main", "(OAUTHBEARER)", "invalid_client"}},
		{"no such password file", rig.SASL, nil, password(Plain, filepath.Join(v.dir, "none")),
			[]string{"cluster main", "sasl.passwordFile", "no such file"}},
		{"broker of an unknown authority", rig.TLS, &TLS{CAFile: otherCA}, nil,
			[]string{"cluster main", "(TLS)", "unknown authority"}},
		{"our certificate expired", rig.TLS, &TLS{CAFile: ca, CertFile: oldCert, KeyFile: oldKey}, nil,
			[]string{"cluster main", "(mutual TLS)", "tls.certFile", "expired at"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := collect(t, Config{Brokers: cluster.Addresses(tt.listener), TLS: tt.tls, SASL: tt.sasl})
			if len(tt.says) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil {
				t.Fatal("it was let in")
			}
			for _, part := range tt.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got %q, want it to say %q", err, part)
				}
			}
			for _, secret := range []string{rightPassword, wrongPassword} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows the secret: %v", err)
				}
			}
		})
	}

	t.Run("a certificate that is renewed is used without a restart", func(t *testing.T) {
		certFile, keyFile := issue(t, v, authority, "renewed", time.Now().Add(-time.Hour))
		config := Config{Brokers: cluster.Addresses(rig.TLS), TLS: &TLS{CAFile: ca, CertFile: certFile, KeyFile: keyFile}}
		letInOnceRenewed(t, config, func() { issue(t, v, authority, "renewed", time.Time{}) })
	})
	t.Run("a password that is rotated is used without a restart", func(t *testing.T) {
		file := v.file("rotated", []byte(wrongPassword))
		config := Config{Brokers: cluster.Addresses(rig.SASL), SASL: password(ScramSHA512, file)}
		letInOnceRenewed(t, config, func() { v.file("rotated", []byte(rightPassword)) })
	})
}

// letInOnceRenewed fails unless the secret of the config is refused before it is renewed, and a client that has lived through
// that is let in afterwards.
func letInOnceRenewed(t *testing.T, config Config, renew func()) {
	t.Helper()
	client, err := kgo.NewClient(config.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := client.Ping(ctx); err == nil {
		t.Fatal("the old secret was let in")
	}
	renew()
	if err := client.Ping(ctx); err != nil {
		t.Fatalf("after the renewal: %v", err)
	}
}
