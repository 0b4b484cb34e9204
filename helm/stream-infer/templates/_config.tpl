{{/*
Lays the map `what` over the map `onto`, in place. Sprig's own mergeOverwrite does not promise that 0 and false count.
*/}}
{{- define "stream-infer.lay" -}}
{{- $onto := .onto -}}
{{- range $key, $value := .what -}}
{{- if and (kindIs "map" $value) (kindIs "map" (get $onto $key)) -}}
{{- $_ := include "stream-infer.lay" (dict "onto" (get $onto $key) "what" $value) -}}
{{- else -}}
{{- $_ := set $onto $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
What the templates need to know of each API, its defaults filled in: a map with the list `apis`, each with `port`, where
its realtime replicas listen, and `workerPart` and `realtimePart`, its values of the chart.
*/}}
{{- define "stream-infer.apis" -}}
{{- $root := . -}}
{{- $defaults := .Files.Get "files/defaults.yaml" | fromYaml -}}
{{- $known := list -}}
{{- $apis := list -}}
{{- range $index, $given := .Values.config.apis -}}
{{- $own := get $root.Values.apis $given.name | default dict -}}
{{- $api := deepCopy $defaults.api -}}
{{- $_ := include "stream-infer.lay" (dict "onto" $api "what" (deepCopy $given)) -}}
{{- $workerPart := deepCopy $root.Values.worker -}}
{{- $_ := include "stream-infer.lay" (dict "onto" $workerPart "what" ($own.worker | default dict)) -}}
{{- $realtimePart := deepCopy $root.Values.realtime -}}
{{- $_ := include "stream-infer.lay" (dict "onto" $realtimePart "what" ($own.realtime | default dict)) -}}
{{- if hasKey $given "realtime" -}}
{{- $realtime := deepCopy $defaults.realtime -}}
{{- $_ := include "stream-infer.lay" (dict "onto" $realtime "what" ($given.realtime | default dict)) -}}
{{- $_ := set $api "realtime" $realtime -}}
{{- end -}}
{{- if eq (toString $api.batching.max_batch_size) "auto" -}}
{{- $_ := set $api.batching "max_batch_size" $defaults.presumed_batch_size -}}
{{- end -}}
{{- $_ := set $api "port" (add 8090 $index) -}}
{{- $_ := set $api "workerPart" $workerPart -}}
{{- $_ := set $api "realtimePart" $realtimePart -}}
{{- $known = append $known $given.name -}}
{{- $apis = append $apis $api -}}
{{- end -}}
{{- range $name, $_ := .Values.apis -}}
{{- if not (has $name $known) -}}
{{- fail (printf "apis.%s: config.apis has no API of that name; there are: %s" $name (join ", " $known)) -}}
{{- end -}}
{{- end -}}
{{- dict "apis" $apis | toYaml -}}
{{- end -}}

{{- define "stream-infer.topicPrefix" -}}
{{- $defaults := .Files.Get "files/defaults.yaml" | fromYaml -}}
{{- dig "kafka" "topic_prefix" $defaults.topic_prefix .Values.config -}}
{{- end -}}

{{- define "stream-infer.bootstrapServers" -}}
{{- required "config.kafka.bootstrap_servers: say where the brokers are, host:port,…" (dig "kafka" "bootstrap_servers" "" .Values.config) -}}
{{- end -}}

{{/* The longest that a worker of `api` finishes what is in its predictor once it is asked to end: seconds. */}}
{{- define "stream-infer.drainSeconds" -}}
{{- dig "drain_timeout" (addf .batching.call_timeout 10) .workers -}}
{{- end -}}

{{/* stream-infer.yaml: what config says, and what a pod knows better. */}}
{{- define "stream-infer.config" -}}
{{- $root := . -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := include "stream-infer.bootstrapServers" . -}}
{{- $store := required "config.store: say where results go, s3://bucket/prefix" $config.store -}}
{{- if hasPrefix "file:" $store -}}
{{- fail "config.store: a folder is in one pod alone; name a bucket, s3://bucket/prefix" -}}
{{- end -}}
{{- $ours := dict "state_dir" "/var/lib/stream-infer" -}}
{{- $_ := set $ours "gateway" (dict "listen" "0.0.0.0:8080") -}}
{{- with .Values.gateway.apiKeysSecret -}}
{{- if .name -}}
{{- $_ := set $ours.gateway "api_keys_file" (printf "/etc/stream-infer-keys/%s" .key) -}}
{{- end -}}
{{- end -}}
{{- if .Values.gateway.tlsSecret.name -}}
{{- $_ := set $ours.gateway "tls" (dict "certificate_file" "/etc/stream-infer-tls/tls.crt" "private_key_file" "/etc/stream-infer-tls/tls.key") -}}
{{- end -}}
{{- with .Values.kafka.caSecret -}}
{{- if .name -}}
{{- $_ := set $ours "kafka" (dict "security" (dict "ca_file" (printf "/etc/stream-infer-ca/%s" .key))) -}}
{{- end -}}
{{- end -}}
{{- $_ := include "stream-infer.lay" (dict "onto" $config "what" $ours) -}}
{{- $apis := list -}}
{{- range $index, $api := (include "stream-infer.apis" . | fromYaml).apis -}}
{{- $given := deepCopy (index $root.Values.config.apis $index) -}}
{{- $workers := $given.workers | default dict -}}
{{- $_ := set $workers "drain_timeout" (include "stream-infer.drainSeconds" $api | float64) -}}
{{- $_ := set $given "workers" $workers -}}
{{- if $api.realtime -}}
{{- $service := include "stream-infer.partName" (dict "root" $root "component" "realtime" "api" $api.name) -}}
{{- $realtime := $given.realtime | default dict -}}
{{- if not (hasKey $realtime "drain_delay") -}}
{{- $_ := set $realtime "drain_delay" 5 -}}
{{- end -}}
{{- $_ := set $realtime "listen" (printf "0.0.0.0:%d" (int $api.port)) -}}
{{- $_ := set $realtime "addresses" (list (printf "http://%s.%s.svc:%d" $service $root.Release.Namespace (int $api.port))) -}}
{{- $_ := set $realtime "replicas" 1 -}}
{{- $_ := set $given "realtime" $realtime -}}
{{- end -}}
{{- $apis = append $apis $given -}}
{{- end -}}
{{- $_ := set $config "apis" $apis -}}
{{- toYaml $config -}}
{{- end -}}

{{/*
What of it a pod is to be started again for: takes root and, for one of an API, api. No other API's model is to be
unloaded for a change of that one.
*/}}
{{- define "stream-infer.configOf" -}}
{{- $config := include "stream-infer.config" .root | fromYaml -}}
{{- if .api -}}
{{- $own := list -}}
{{- range $config.apis -}}
{{- if eq .name $.api -}}
{{- $own = append $own . -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config "apis" $own -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}
