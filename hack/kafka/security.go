package kafka

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeSecurity adds what the secured listeners need and writes their key and trust files.
func (b *broker) writeSecurity(c *Cluster, properties map[string]string) error {
	if c.options.Authorizer {
		properties["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
		properties["super.users"] = "User:ANONYMOUS"
	}
	if len(c.options.Users) > 0 || c.options.OAuth {
		b.addSASL(c, properties)
	}
	if c.options.TLS == nil {
		return nil
	}
	certificate, key, err := c.options.TLS.Issue(Certificate{Name: "broker", Server: true})
	if err != nil {
		return fmt.Errorf("issue the broker's certificate: %w", err)
	}
	keystore := filepath.Join(b.dir, "keystore.pem")
	if err := os.WriteFile(keystore, append(key, certificate...), 0o600); err != nil {
		return err
	}
	truststore := filepath.Join(b.dir, "truststore.pem")
	if err := os.WriteFile(truststore, c.options.TLS.PEM(), 0o644); err != nil {
		return err
	}
	properties["ssl.keystore.type"] = "PEM"
	properties["ssl.keystore.location"] = keystore
	properties["ssl.truststore.type"] = "PEM"
	properties["ssl.truststore.location"] = truststore
	// A certificate is checked where one is shown; who shows none is anonymous.
	properties["ssl.client.auth"] = "requested"
	// The principal is the certificate's common name alone.
	properties["ssl.principal.mapping.rules"] = "RULE:^CN=([^,]+).*$/$1/,DEFAULT"
	return nil
}

// addSASL sets up the mechanisms on the SASL listeners.
func (b *broker) addSASL(c *Cluster, properties map[string]string) {
	var users strings.Builder
	for _, user := range c.options.Users {
		fmt.Fprintf(&users, ` user_%s="%s"`, user.Name, user.Password)
	}
	const module = "org.apache.kafka.common.security."
	mechanisms := "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
	if c.options.OAuth {
		mechanisms += ",OAUTHBEARER"
	}
	for _, listener := range []Listener{SASL, SASLTLS} {
		if b.ports[listener] == 0 {
			continue
		}
		prefix := "listener.name." + strings.ToLower(string(listener)) + "."
		properties[prefix+"sasl.enabled.mechanisms"] = mechanisms
		properties[prefix+"plain.sasl.jaas.config"] = module + "plain.PlainLoginModule required" + users.String() + ";"
		properties[prefix+"scram-sha-256.sasl.jaas.config"] = module + "scram.ScramLoginModule required;"
		properties[prefix+"scram-sha-512.sasl.jaas.config"] = module + "scram.ScramLoginModule required;"
		if c.options.OAuth {
			properties[prefix+"oauthbearer.sasl.jaas.config"] = module +
				`oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`
		}
	}
}
