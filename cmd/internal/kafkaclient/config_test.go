package kafkaclient

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestValidateNamesEveryProblem(t *testing.T) {
	brokers := []string{"kafka:9092"}
	for _, tt := range []struct {
		name   string
		config Config
		want   []string
	}{
		{"good", Config{Brokers: brokers}, nil},
		{"no brokers", Config{}, []string{"brokers: none"}},
		{"no port", Config{Brokers: []string{"kafka"}}, []string{`brokers[0]: "kafka"`}},
		{"half a certificate", Config{Brokers: brokers, TLS: &TLS{CertFile: "c"}}, []string{"tls.certFile"}},
		{"unknown mechanism", Config{Brokers: brokers, SASL: &SASL{Mechanism: "SCRAM"}}, []string{`sasl.mechanism: "SCRAM": want one of PLAIN SCRAM-SHA-256`}},
		{"plain without secrets", Config{Brokers: brokers, SASL: &SASL{Mechanism: Plain}}, []string{"sasl.username: missing", "sasl.passwordFile: missing"}},
		{"plain with a token", Config{Brokers: brokers, SASL: &SASL{Mechanism: Plain, Username: "u", PasswordFile: "p", TokenFile: "t"}}, []string{"sasl.tokenFile: \"t\": PLAIN has no use for it"}},
		{"oauth without a source", Config{Brokers: brokers, SASL: &SASL{Mechanism: OAuthBearer}}, []string{"sasl.tokenFile: OAUTHBEARER needs either"}},
		{"oauth with half a grant", Config{Brokers: brokers, SASL: &SASL{Mechanism: OAuthBearer, ClientCredentials: &ClientCredentials{TokenURL: "x"}}},
			[]string{"tokenURL: \"x\"", "clientCredentials.clientID: missing", "clientSecretFile: missing"}},
		{"half of AWS", Config{Brokers: brokers, SASL: &SASL{Mechanism: AWSMSKIAM, AccessKeyIDFile: "a"}}, []string{"sasl.accessKeyIDFile"}},
		{"AWS from the environment", Config{Brokers: brokers, SASL: &SASL{Mechanism: AWSMSKIAM}}, nil},
	} {
		err := tt.config.Validate()
		if (err == nil) != (len(tt.want) == 0) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want it to hold %q", tt.name, err, want)
			}
		}
	}
}

func TestSecretsAreReadAnewAndNeverShown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := SASL{Mechanism: ScramSHA512, Username: "u", PasswordFile: file}
	if _, err := s.scramAuth(t.Context()); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("missing file: got %v, want its name", err)
	}
	for _, password := range []string{"first", "second"} {
		write(password + "\n")
		if auth, err := s.scramAuth(t.Context()); err != nil || auth.Pass != password {
			t.Errorf("got %q, %v, want %q", auth.Pass, err, password)
		}
	}
	write("\n")
	if _, err := s.scramAuth(t.Context()); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("empty file: got %v", err)
	}
}
