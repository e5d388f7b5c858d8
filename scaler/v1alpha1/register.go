package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion returns the API group and version of the types here.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: "prescale.dev", Version: "v1alpha1"}
}

// Resource returns the resource of ScalePolicy.
func Resource() schema.GroupVersionResource { return GroupVersion().WithResource("scalepolicies") }

// AddToScheme registers the types.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion(), &ScalePolicy{}, &ScalePolicyList{})
	metav1.AddToGroupVersion(scheme, GroupVersion())
	return nil
}
