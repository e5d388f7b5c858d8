package external

import (
	"fmt"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
)

// addDiscovery completes what custom-metrics-apiserver registers. It tells the aggregated document at /apis, which newer
// clients and the aggregator read first, of no group at all, and the older one of the first version of each group only.
// Discovery is constant, so it is written once.
func addDiscovery(server *genericapiserver.GenericAPIServer, external provider.ExternalMetricsProvider,
	object provider.CustomMetricsProvider) error {
	if err := addGroup(server, provider.NewExternalMetricResourceLister(external),
		schema.GroupVersion{Group: external_metrics.GroupName, Version: "v1beta1"}); err != nil {
		return err
	}
	if object == nil {
		return nil
	}
	return addGroup(server, provider.NewCustomMetricResourceLister(object),
		schema.GroupVersion{Group: custom_metrics.GroupName, Version: "v1beta2"},
		schema.GroupVersion{Group: custom_metrics.GroupName, Version: "v1beta1"})
}

// addGroup registers one group in all its versions, the preferred one first.
func addGroup(server *genericapiserver.GenericAPIServer, lister discovery.APIResourceLister, versions ...schema.GroupVersion) error {
	resources, err := endpoints.ConvertGroupVersionIntoToDiscovery(lister.ListAPIResources())
	if err != nil {
		return fmt.Errorf("describe %s for discovery: %w", versions[0].Group, err)
	}
	group := metav1.APIGroup{Name: versions[0].Group}
	for i, v := range versions {
		server.AggregatedDiscoveryGroupManager.AddGroupVersion(v.Group, apidiscoveryv2.APIVersionDiscovery{
			Version: v.Version, Resources: resources, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent,
		})
		server.AggregatedDiscoveryGroupManager.SetGroupVersionPriority(metav1.GroupVersion(v), 100, 100-i)
		group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: v.String(), Version: v.Version})
	}
	group.PreferredVersion = group.Versions[0]
	server.DiscoveryGroupManager.AddGroup(group)
	return nil
}
