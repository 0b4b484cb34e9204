{{/*
The template of a pod. Takes
  root, component, api      whose pod it is; api may be left out
  part                      its values: resources, nodeSelector and what else is common
  image                     its image
  args                      the command and its arguments
  ports                     a list of {name, containerPort}
  health                    the name of the port that answers /healthz and /readyz; none for what is no server
  scheme                    of that port, HTTP unless given
  grace                     seconds between SIGTERM and SIGKILL
  preStopSeconds            for so long nothing is told yet, and whoever routes to it learns that it goes
  env, volumes, mounts      lists of its own
  models                    values of the model cache; left out for roles that load no model
  needsKeys                 whether it asks clients for API keys
*/}}
{{- define "stream-infer.podTemplate" -}}
{{- $root := .root -}}
{{- $part := .part -}}
metadata:
  annotations:
    checksum/config: {{ include "stream-infer.configOf" . | sha256sum }}
    {{- with $part.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "stream-infer.labels" . | nindent 4 }}
    {{- with $part.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ .serviceAccountName | default (include "stream-infer.serviceAccountName" $root) }}
  # Nothing here asks Kubernetes. The token of an IAM role is mounted by who grants it.
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .grace }}
  {{- if .restartPolicy }}
  restartPolicy: {{ .restartPolicy }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $part.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $part.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $part.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $part.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $part.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  affinity:
    {{- if $part.affinity }}
    {{- toYaml $part.affinity | nindent 4 }}
    {{- else }}
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 100
          podAffinityTerm:
            topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels:
                {{- include "stream-infer.selectorLabels" . | nindent 16 }}
    {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "stream-infer.image" (dict "root" $root "image" .image) }}
      imagePullPolicy: {{ .image.pullPolicy }}
      args:
        {{- toYaml (concat (list "--file" "/etc/stream-infer/stream-infer.yaml") .args) | nindent 8 }}
      {{- with include "stream-infer.env" . | trim }}
      env:
        {{- . | nindent 8 }}
      {{- end }}
      {{- with .ports }}
      ports:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if .health }}
      {{- $scheme := .scheme | default "HTTP" }}
      startupProbe:
        httpGet: {path: /healthz, port: {{ .health }}, scheme: {{ $scheme }}}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: {{ .health }}, scheme: {{ $scheme }}}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: {{ .health }}, scheme: {{ $scheme }}}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      {{- end }}
      {{- with .preStopSeconds }}
      lifecycle:
        preStop:
          exec: {command: [sleep, {{ . | quote }}]}
      {{- end }}
      resources:
        {{- include "stream-infer.resources" $part | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        privileged: false
        readOnlyRootFilesystem: true
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: config, mountPath: /etc/stream-infer, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        {{- if not .stateClaimed }}
        - {name: state, mountPath: /var/lib/stream-infer}
        {{- end }}
        {{- if .models }}
        - {name: models, mountPath: /var/lib/stream-infer/models}
        {{- end }}
        {{- if $part.sharedMemory }}
        - {name: shared-memory, mountPath: /dev/shm}
        {{- end }}
        {{- if $root.Values.kafka.caSecret.name }}
        - {name: kafka-ca, mountPath: /etc/stream-infer-ca, readOnly: true}
        {{- end }}
        {{- if .needsKeys }}
        - {name: api-keys, mountPath: /etc/stream-infer-keys, readOnly: true}
        {{- end }}
        {{- with .mounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with $part.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ .configMap | default (include "stream-infer.fullname" $root) }}
    - name: tmp
      emptyDir: {sizeLimit: 1Gi}
    {{- if not .stateClaimed }}
    - name: state
      emptyDir: {sizeLimit: {{ .stateSize | default "1Gi" }}}
    {{- end }}
    {{- with .models }}
    - name: models
      {{- if eq .type "existingClaim" }}
      persistentVolumeClaim: {claimName: {{ required "modelCache.existingClaim: name the claim" .existingClaim }}}
      {{- else if eq .type "hostPath" }}
      hostPath: {path: {{ required "modelCache.hostPath: name the folder; the user 10001 has to be able to write there" .hostPath }}, type: DirectoryOrCreate}
      {{- else }}
      emptyDir: {sizeLimit: {{ .sizeLimit }}}
      {{- end }}
    {{- end }}
    {{- with $part.sharedMemory }}
    - name: shared-memory
      emptyDir: {medium: Memory, sizeLimit: {{ . }}}
    {{- end }}
    {{- with $root.Values.kafka.caSecret }}
    {{- if .name }}
    - name: kafka-ca
      secret:
        secretName: {{ .name }}
        items: [{key: {{ .key }}, path: {{ .key }}}]
    {{- end }}
    {{- end }}
    {{- if .needsKeys }}
    # Whole, so that what changes in the secret is seen here, and read again.
    - name: api-keys
      secret: {secretName: {{ $root.Values.gateway.apiKeysSecret.name }}, defaultMode: 0440}
    {{- end }}
    {{- with .volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with $part.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Secrets, and where S3 is. Takes what podTemplate takes. */}}
{{- define "stream-infer.env" -}}
{{- $kafka := .root.Values.kafka.existingSecret }}
{{- with .part.kafkaSecret | default $kafka.name }}
- name: STREAM_INFER__KAFKA__SECURITY__USERNAME
  {{- if $kafka.usernameKey }}
  valueFrom: {secretKeyRef: {name: {{ . }}, key: {{ $kafka.usernameKey }}}}
  {{- else }}
  value: {{ . | quote }}
  {{- end }}
- name: STREAM_INFER__KAFKA__SECURITY__PASSWORD
  valueFrom: {secretKeyRef: {name: {{ . }}, key: {{ $kafka.passwordKey }}}}
{{- end }}
{{- with .root.Values.store.existingSecret }}
{{- if .name }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .accessKeyIdKey }}}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .secretAccessKeyKey }}}}
{{- end }}
{{- end }}
{{- with .root.Values.store.region }}
- {name: AWS_REGION, value: {{ . | quote }}}
{{- end }}
{{- with .root.Values.store.endpointUrl }}
- {name: AWS_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- with .env }}
{{ toYaml . }}
{{- end }}
{{- if .health }}
{{- /* Not in the file: the image says a port, too, and the environment goes before the file. */}}
- {name: STREAM_INFER__METRICS__LISTEN, value: "0.0.0.0:{{ .root.Values.metrics.port }}"}
{{- end }}
{{- with .part.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Of a part; its GPUs are limits, which are requests too. */}}
{{- define "stream-infer.resources" -}}
{{- $resources := deepCopy (.resources | default dict) -}}
{{- with .gpu -}}
{{- if .count -}}
{{- $limits := $resources.limits | default dict -}}
{{- $_ := set $limits .resource .count -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* A PodDisruptionBudget: one at a time. Takes root, component, api. */}}
{{- define "stream-infer.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "stream-infer.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  # A pod that does not serve holds up nobody who empties its node.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "stream-infer.selectorLabels" . | nindent 6 }}
{{- end -}}

{{/* A Service without an address of its own: for Prometheus, and for a StatefulSet. Takes root, component, api. */}}
{{- define "stream-infer.headlessService" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "stream-infer.metadata" . | nindent 2 }}
spec:
  clusterIP: None
  # Who does not serve is to be seen all the more.
  publishNotReadyAddresses: true
  selector:
    {{- include "stream-infer.selectorLabels" . | nindent 4 }}
  ports:
    - {name: metrics, port: {{ .root.Values.metrics.port }}, targetPort: metrics, protocol: TCP}
{{- end -}}
