package eventlog

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// alterGroup sets configs of a consumer group on the brokers (KIP-848, "Group Configurations"), or only asks whether they would do so.
func alterGroup(ctx context.Context, client *kgo.Client, group string, configs map[string]string, ask bool) error {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly = ask
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType = kmsg.ConfigResourceTypeGroupConfig
	resource.ResourceName = group
	for _, k := range slices.Sorted(maps.Keys(configs)) {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = k, kmsg.StringPtr(configs[k])
		c.Op = kmsg.IncrementalAlterConfigOpSet
		resource.Configs = append(resource.Configs, c)
	}
	req.Resources = append(req.Resources, resource)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("set the timeouts of group %s: %w", group, err)
	}
	for _, r := range resp.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			detail := ""
			if r.ErrorMessage != nil {
				detail = ": " + *r.ErrorMessage
			}
			return fmt.Errorf("set the timeouts of group %s: %w%s", group, err, detail)
		}
	}
	return nil
}

// brokersAnew has a client ask which brokers there are as soon as it cannot connect to one. A member of a KIP-848 group needs
// that when its coordinator dies: franz-go (1.22.2 and 1.22.3) goes on sending its heartbeats to the broker that it knows, for
// as long as it knows it. Who fetches soon learns better; an Owner fetches nothing and would not for MetadataMaxAge, minutes in
// which the group has long given its shards away.
//
// It is a kgo.HookNewClient and a kgo.HookBrokerConnect of one client.
type brokersAnew struct{ client *kgo.Client }

// OnNewClient implements kgo.HookNewClient.
func (b *brokersAnew) OnNewClient(client *kgo.Client) { b.client = client }

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (b *brokersAnew) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil {
		b.client.ForceMetadataRefresh()
	}
}
