// Package kafkaclient turns what a configuration file says of a Kafka cluster into the options of a franz-go client:
// brokers, TLS, SASL. Its main type is Config. Secrets are named by file and read anew for every connection, so that a
// rotated one is used without a restart. It makes no request itself.
package kafkaclient

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Config says how one Kafka cluster is reached.
type Config struct {
	// Brokers are the bootstrap addresses, "host:port" each.
	Brokers []string `json:"brokers"`
	// TLS, when set, encrypts; an empty one trusts the system's authorities.
	TLS *TLS `json:"tls"`
	// SASL, when set, authenticates.
	SASL *SASL `json:"sasl"`
}

// TLS says whom to trust and who we are.
type TLS struct {
	// CAFile holds the authorities to trust, in PEM; empty means the system's.
	CAFile string `json:"caFile"`
	// CertFile and KeyFile are our certificate, for mutual TLS.
	CertFile string `json:"certFile"`
	KeyFile  string `json:"keyFile"`
	// ServerName is the name that the brokers' certificate must carry, where it is not the one dialled.
	ServerName string `json:"serverName"`
}

// Mechanism is a SASL mechanism by the name that Kafka gives it.
type Mechanism string

// The mechanisms.
const (
	Plain       Mechanism = "PLAIN"
	ScramSHA256 Mechanism = "SCRAM-SHA-256"
	ScramSHA512 Mechanism = "SCRAM-SHA-512"
	OAuthBearer Mechanism = "OAUTHBEARER"
	AWSMSKIAM   Mechanism = "AWS_MSK_IAM"
)

var mechanisms = []Mechanism{Plain, ScramSHA256, ScramSHA512, OAuthBearer, AWSMSKIAM}

// SASL says who we are. Which of its fields are needed depends on the mechanism; the others must stay empty.
type SASL struct {
	Mechanism Mechanism `json:"mechanism"`
	// Username and PasswordFile are for PLAIN and SCRAM.
	Username     string `json:"username"`
	PasswordFile string `json:"passwordFile"`
	// TokenFile holds a bearer token that somebody else keeps fresh, ClientCredentials fetches one: for OAUTHBEARER.
	TokenFile         string             `json:"tokenFile"`
	ClientCredentials *ClientCredentials `json:"clientCredentials"`
	// AccessKeyIDFile, SecretAccessKeyFile and, for temporary credentials, SessionTokenFile are for AWS_MSK_IAM; without
	// them the environment's AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN are used.
	AccessKeyIDFile     string `json:"accessKeyIDFile"`
	SecretAccessKeyFile string `json:"secretAccessKeyFile"`
	SessionTokenFile    string `json:"sessionTokenFile"`
}

// ClientCredentials is the OAuth 2.0 grant of RFC 6749, section 4.4.
type ClientCredentials struct {
	TokenURL         string   `json:"tokenURL"`
	ClientID         string   `json:"clientID"`
	ClientSecretFile string   `json:"clientSecretFile"`
	Scopes           []string `json:"scopes"`
}

// Validate joins every problem, each with its key path below the cluster.
func (c Config) Validate() error {
	var p problems
	if len(c.Brokers) == 0 {
		p.add("brokers: none: want at least one host:port, such as kafka:9092")
	}
	for i, broker := range c.Brokers {
		if host, port, err := net.SplitHostPort(broker); err != nil || host == "" || port == "" {
			p.add("brokers[%d]: %q: want host:port, such as kafka:9092", i, broker)
		}
	}
	if t := c.TLS; t != nil && (t.CertFile == "") != (t.KeyFile == "") {
		p.add("tls.certFile: %q with tls.keyFile %q: want both, for mutual TLS, or neither", t.CertFile, t.KeyFile)
	}
	if c.SASL != nil {
		c.SASL.validate(&p)
	}
	return errors.Join(p...)
}

type problems []error

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Errorf(format, args...)) }

func (s *SASL) validate(p *problems) {
	if !slices.Contains(mechanisms, s.Mechanism) {
		p.add("sasl.mechanism: %q: want one of %s", s.Mechanism, strings.Trim(fmt.Sprint(mechanisms), "[]"))
		return
	}
	password := s.Mechanism == Plain || s.Mechanism == ScramSHA256 || s.Mechanism == ScramSHA512
	want := func(needed bool, key, value string) {
		switch {
		case needed && value == "":
			p.add("sasl.%s: missing: %s needs it", key, s.Mechanism)
		case !needed && value != "":
			p.add("sasl.%s: %q: %s has no use for it", key, value, s.Mechanism)
		}
	}
	want(password, "username", s.Username)
	want(password, "passwordFile", s.PasswordFile)
	if s.Mechanism != AWSMSKIAM {
		want(false, "accessKeyIDFile", s.AccessKeyIDFile)
		want(false, "secretAccessKeyFile", s.SecretAccessKeyFile)
		want(false, "sessionTokenFile", s.SessionTokenFile)
	} else if (s.AccessKeyIDFile == "") != (s.SecretAccessKeyFile == "") {
		p.add("sasl.accessKeyIDFile: %q with sasl.secretAccessKeyFile %q: want both, or neither for the environment's",
			s.AccessKeyIDFile, s.SecretAccessKeyFile)
	}
	if s.Mechanism != OAuthBearer {
		want(false, "tokenFile", s.TokenFile)
		if s.ClientCredentials != nil {
			p.add("sasl.clientCredentials: %s has no use for it", s.Mechanism)
		}
		return
	}
	if (s.TokenFile == "") == (s.ClientCredentials == nil) {
		p.add("sasl.tokenFile: OAUTHBEARER needs either it or sasl.clientCredentials, and not both")
	}
	if cc := s.ClientCredentials; cc != nil {
		if u, err := url.Parse(cc.TokenURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			p.add("sasl.clientCredentials.tokenURL: %q: want an https URL", cc.TokenURL)
		}
		want(true, "clientCredentials.clientID", cc.ClientID)
		want(true, "clientCredentials.clientSecretFile", cc.ClientSecretFile)
	}
}

// Security names the protection in words for messages: "SCRAM-SHA-512 over TLS", "plaintext".
func (c Config) Security() string {
	switch {
	case c.SASL != nil && c.TLS != nil:
		return string(c.SASL.Mechanism) + " over TLS"
	case c.SASL != nil:
		return string(c.SASL.Mechanism)
	case c.TLS != nil && c.TLS.CertFile != "":
		return "mutual TLS"
	case c.TLS != nil:
		return "TLS"
	default:
		return "plaintext"
	}
}
