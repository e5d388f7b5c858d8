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
		{"no host", Config{Brokers: []string{":9092", "kafka:"}}, []string{`brokers[0]: ":9092"`, `brokers[1]: "kafka:"`}},
		{"plain with AWS and a grant", Config{Brokers: brokers, SASL: &SASL{Mechanism: Plain, Username: "u", PasswordFile: "p", AccessKeyIDFile: "a", SecretAccessKeyFile: "b", SessionTokenFile: "c", ClientCredentials: &ClientCredentials{}}},
			[]string{"sasl.accessKeyIDFile: \"a\": PLAIN has", "sasl.secretAccessKeyFile: \"b\": PLAIN has", "sasl.sessionTokenFile: \"c\": PLAIN has", "sasl.clientCredentials: PLAIN has"}},
		{"SCRAM", Config{Brokers: brokers, SASL: &SASL{Mechanism: ScramSHA256}}, []string{"sasl.username: missing"}},
		{"SCRAM, the longer one", Config{Brokers: brokers, SASL: &SASL{Mechanism: ScramSHA512}}, []string{"sasl.username: missing"}},
		{"oauth by a grant", Config{Brokers: brokers, SASL: &SASL{Mechanism: OAuthBearer, ClientCredentials: &ClientCredentials{TokenURL: "https://id/token", ClientID: "i", ClientSecretFile: "s"}}}, nil},
		{"oauth from nowhere", Config{Brokers: brokers, SASL: &SASL{Mechanism: OAuthBearer, ClientCredentials: &ClientCredentials{TokenURL: "ftp://id", ClientID: "i", ClientSecretFile: "s"}}},
			[]string{`sasl.clientCredentials.tokenURL: "ftp://id"`}},
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

func TestSecurityInWords(t *testing.T) {
	for _, tt := range []struct {
		config Config
		want   string
	}{
		{Config{}, "plaintext"},
		{Config{TLS: &TLS{}}, "TLS"},
		{Config{TLS: &TLS{CertFile: "c", KeyFile: "k"}}, "mutual TLS"},
		{Config{SASL: &SASL{Mechanism: Plain}}, "PLAIN"},
		{Config{TLS: &TLS{CertFile: "c"}, SASL: &SASL{Mechanism: ScramSHA512}}, "SCRAM-SHA-512 over TLS"},
	} {
		if got := tt.config.Security(); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.config, got, tt.want)
		}
	}
}
