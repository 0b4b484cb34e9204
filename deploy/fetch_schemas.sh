#!/bin/sh
# fetch_schemas.sh FOLDER KUBERNETES KEDA PROMETHEUS_OPERATOR: what these versions say of the resources that the chart
# makes, out of their Go modules; tests/support/kubernetes_schemas.py makes of it what kubeconform reads.
set -eu
folder=$1 kubernetes=$2 keda=$3 operator=$4

# module NAME VERSION: where Go has put it.
module() {
    go mod download -json "$1@$2" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",\{0,1\}$/\1/p'
}

new=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$new"' EXIT
from=$(module k8s.io/kubernetes "$kubernetes")
cp "$from/api/openapi-spec/swagger.json" "$new/"
from=$(module github.com/kedacore/keda/v2 "$keda")
cp "$from/config/crd/bases/keda.sh_scaledobjects.yaml" "$from/config/crd/bases/keda.sh_triggerauthentications.yaml" "$new/"
from=$(module github.com/prometheus-operator/prometheus-operator "$operator")
crds=$from/example/prometheus-operator-crd
cp "$crds/monitoring.coreos.com_servicemonitors.yaml" "$crds/monitoring.coreos.com_prometheusrules.yaml" "$new/"
chmod -R u+w "$new"
rm -rf "$folder"
mv "$new" "$folder"
trap - EXIT
