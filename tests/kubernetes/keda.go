package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// keda is what the tests need of KEDA's operator, done as its pages say (https://keda.sh/docs/2.21/concepts/scaling-deployments/): an HPA for each
// ScaledObject, put back when somebody changes it, gone while the ScaledObject is paused; and the replicas given back at its end. It scales by
// `cpu` and `memory` alone, which HPAs measure by themselves. Only Deployments are its targets.
type keda struct {
	client dynamic.Interface
}

const (
	kedaFinalizer      = "finalizer.keda.sh"
	kedaName           = "scaledobject.keda.sh/name"
	kedaPaused         = "autoscaling.keda.sh/paused"
	kedaPausedReplicas = "autoscaling.keda.sh/paused-replicas"
	kedaPausedScaleIn  = "autoscaling.keda.sh/paused-scale-in"
)

var (
	scaledObjects = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledobjects"}
	autoscalers   = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	deployments   = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
)

// run looks at every ScaledObject again and again. What fails is tried at the next look.
func (k *keda) run(ctx context.Context) {
	for ; ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
		// There is no such kind until the cluster has been furnished.
		list, err := k.client.Resource(scaledObjects).List(ctx, metav1.ListOptions{})
		if err != nil {
			continue
		}
		for _, object := range list.Items {
			if object.GetDeletionTimestamp() != nil {
				_ = k.letGo(ctx, &object)
				continue
			}
			if err := k.reconcile(ctx, &object); err != nil && !errors.IsConflict(err) {
				_ = k.tell(ctx, &object, map[string]any{}, condition("Ready", "False", "ScaledObjectCheckFailed", err.Error()))
			}
		}
	}
}

// letGo gives the replicas back where the ScaledObject says so, and releases it; the garbage collector takes its HPA.
func (k *keda) letGo(ctx context.Context, object *unstructured.Unstructured) error {
	if !slices.Contains(object.GetFinalizers(), kedaFinalizer) {
		return nil
	}
	restores, _, _ := unstructured.NestedBool(object.Object, "spec", "advanced", "restoreToOriginalReplicaCount")
	original, known, _ := unstructured.NestedInt64(object.Object, "status", "originalReplicaCount")
	if restores && known {
		// Before the replicas are given back, nobody may scale any more.
		if err := k.deleteHPA(ctx, object); err != nil {
			return err
		}
		if err := k.scale(ctx, object, original); err != nil && !errors.IsNotFound(err) {
			return err
		}
	}
	object.SetFinalizers(slices.DeleteFunc(object.GetFinalizers(), func(name string) bool { return name == kedaFinalizer }))
	_, err := k.client.Resource(scaledObjects).Namespace(object.GetNamespace()).Update(ctx, object, metav1.UpdateOptions{})
	return err
}

func (k *keda) reconcile(ctx context.Context, object *unstructured.Unstructured) error {
	if !slices.Contains(object.GetFinalizers(), kedaFinalizer) || object.GetLabels()[kedaName] != object.GetName() {
		labels := object.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[kedaName] = object.GetName()
		object.SetLabels(labels)
		if !slices.Contains(object.GetFinalizers(), kedaFinalizer) {
			object.SetFinalizers(append(object.GetFinalizers(), kedaFinalizer))
		}
		_, err := k.client.Resource(scaledObjects).Namespace(object.GetNamespace()).Update(ctx, object, metav1.UpdateOptions{})
		return err
	}
	count, frozen := object.GetAnnotations()[kedaPausedReplicas]
	if frozen || isOn(object, kedaPaused) {
		if err := k.deleteHPA(ctx, object); err != nil {
			return err
		}
		status := map[string]any{}
		if frozen {
			number, err := strconv.ParseInt(count, 10, 32)
			if err != nil {
				return fmt.Errorf("failed to parse paused replica count: %w", err)
			}
			if err := k.scale(ctx, object, number); err != nil {
				return err
			}
			status["pausedReplicaCount"] = number
		}
		message := "ScaledObject is paused"
		return k.tell(ctx, object, status, condition("Ready", "True", "ScaledObjectReady", message), condition("Paused", "True", "ScaledObjectPaused", message))
	}
	name, _, _ := unstructured.NestedString(object.Object, "spec", "scaleTargetRef", "name")
	target, err := k.client.Resource(deployments).Namespace(object.GetNamespace()).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	hpa, err := wantedHPA(object, name)
	if err != nil {
		return err
	}
	if err := k.ensureHPA(ctx, object, hpa); err != nil {
		return err
	}
	status := map[string]any{"hpaName": hpa.GetName(), "scaleTargetKind": "apps/v1.Deployment", "pausedReplicaCount": nil}
	if _, known, _ := unstructured.NestedInt64(object.Object, "status", "originalReplicaCount"); !known {
		replicas, _, _ := unstructured.NestedInt64(target.Object, "spec", "replicas")
		status["originalReplicaCount"] = replicas
	}
	paused := condition("Paused", "False", "", "")
	if isOn(object, kedaPausedScaleIn) {
		paused = condition("Paused", "True", "ScaledObjectPaused", "ScaledObject is paused")
	}
	ready := condition("Ready", "True", "ScaledObjectReady", "ScaledObject is defined correctly and is ready for scaling")
	return k.tell(ctx, object, status, ready, paused)
}

func isOn(object *unstructured.Unstructured, annotation string) bool {
	value, there := object.GetAnnotations()[annotation]
	on, err := strconv.ParseBool(value)
	return there && (on || err != nil)
}

func hpaName(object *unstructured.Unstructured) string {
	if name, _, _ := unstructured.NestedString(object.Object, "spec", "advanced", "horizontalPodAutoscalerConfig", "name"); name != "" {
		return name
	}
	return "keda-hpa-" + object.GetName()
}

// wantedHPA is the HPA as the ScaledObject says.
func wantedHPA(object *unstructured.Unstructured, target string) (*unstructured.Unstructured, error) {
	triggers, _, _ := unstructured.NestedSlice(object.Object, "spec", "triggers")
	var metrics []any
	for _, trigger := range triggers {
		kind, _, _ := unstructured.NestedString(trigger.(map[string]any), "type")
		value, _, _ := unstructured.NestedString(trigger.(map[string]any), "metadata", "value")
		metricType, _, _ := unstructured.NestedString(trigger.(map[string]any), "metricType")
		if kind != "cpu" && kind != "memory" {
			return nil, fmt.Errorf("the tests' KEDA has no scaler of type %s", kind)
		}
		aim := map[string]any{"type": metricType, "averageValue": value}
		if metricType == "Utilization" {
			percent, err := strconv.ParseInt(value, 10, 32)
			if err != nil {
				return nil, err
			}
			aim = map[string]any{"type": metricType, "averageUtilization": percent}
		}
		metrics = append(metrics, map[string]any{"type": "Resource", "resource": map[string]any{"name": kind, "target": aim}})
	}
	least, _, _ := unstructured.NestedInt64(object.Object, "spec", "minReplicaCount")
	most, said, _ := unstructured.NestedInt64(object.Object, "spec", "maxReplicaCount")
	if !said {
		most = 100
	}
	spec := map[string]any{
		"scaleTargetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
		"minReplicas":    max(least, 1), "maxReplicas": most, "metrics": metrics,
	}
	behavior, found, _ := unstructured.NestedMap(object.Object, "spec", "advanced", "horizontalPodAutoscalerConfig", "behavior")
	if isOn(object, kedaPausedScaleIn) {
		if behavior == nil {
			behavior = map[string]any{}
		}
		down, _, _ := unstructured.NestedMap(behavior, "scaleDown")
		if down == nil {
			down = map[string]any{}
		}
		down["selectPolicy"] = "Disabled"
		behavior["scaleDown"], found = down, true
	}
	if found {
		spec["behavior"] = behavior
	}
	hpa := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "spec": spec}}
	hpa.SetName(hpaName(object))
	hpa.SetNamespace(object.GetNamespace())
	hpa.SetAnnotations(object.GetAnnotations())
	hpa.SetLabels(map[string]string{"app.kubernetes.io/managed-by": "keda-operator", kedaName: object.GetName()})
	yes := true
	hpa.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: "keda.sh/v1alpha1", Kind: "ScaledObject", Name: object.GetName(), UID: object.GetUID(), Controller: &yes, BlockOwnerDeletion: &yes,
	}})
	return hpa, nil
}

// ensureHPA makes the HPA, or puts back what somebody changed in it. Whether anything was changed is asked of the server, which fills in defaults.
func (k *keda) ensureHPA(ctx context.Context, object, wanted *unstructured.Unstructured) error {
	all := k.client.Resource(autoscalers).Namespace(object.GetNamespace())
	found, err := all.Get(ctx, wanted.GetName(), metav1.GetOptions{})
	if errors.IsNotFound(err) {
		_, err = all.Create(ctx, wanted, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	if owners := found.GetOwnerReferences(); len(owners) == 0 || owners[0].UID != object.GetUID() {
		return fmt.Errorf("the HPA %s is somebody else's", found.GetName())
	}
	wanted.SetResourceVersion(found.GetResourceVersion())
	made, err := all.Update(ctx, wanted.DeepCopy(), metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return err
	}
	if reflect.DeepEqual(made.Object["spec"], found.Object["spec"]) && reflect.DeepEqual(made.GetAnnotations(), found.GetAnnotations()) {
		return nil
	}
	_, err = all.Update(ctx, wanted, metav1.UpdateOptions{})
	return err
}

func (k *keda) deleteHPA(ctx context.Context, object *unstructured.Unstructured) error {
	err := k.client.Resource(autoscalers).Namespace(object.GetNamespace()).Delete(ctx, hpaName(object), metav1.DeleteOptions{})
	if errors.IsNotFound(err) {
		return nil
	}
	return err
}

func (k *keda) scale(ctx context.Context, object *unstructured.Unstructured, replicas int64) error {
	name, _, _ := unstructured.NestedString(object.Object, "spec", "scaleTargetRef", "name")
	all := k.client.Resource(deployments).Namespace(object.GetNamespace())
	target, err := all.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if now, _, _ := unstructured.NestedInt64(target.Object, "spec", "replicas"); now == replicas {
		return nil
	}
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	_, err = all.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "keda-operator"}, "scale")
	return err
}

func condition(kind, status, reason, message string) map[string]any {
	return map[string]any{"type": kind, "status": status, "reason": reason, "message": message}
}

// tell writes the status, where it is another.
func (k *keda) tell(ctx context.Context, object *unstructured.Unstructured, status map[string]any, told ...map[string]any) error {
	before, _, _ := unstructured.NestedMap(object.Object, "status")
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, one := range told {
		at := slices.IndexFunc(conditions, func(known any) bool { return known.(map[string]any)["type"] == one["type"] })
		if at < 0 {
			conditions = append(conditions, one)
		} else {
			conditions[at] = one
		}
	}
	status["conditions"] = conditions
	after := map[string]any{}
	for key, value := range before {
		after[key] = value
	}
	for key, value := range status {
		if after[key] = value; value == nil {
			delete(after, key)
		}
	}
	if reflect.DeepEqual(before, after) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	all := k.client.Resource(scaledObjects).Namespace(object.GetNamespace())
	_, err = all.Patch(ctx, object.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "keda-operator"}, "status")
	return err
}
