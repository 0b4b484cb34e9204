{{- define "stream-infer.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "stream-infer.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "stream-infer.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The name of a part: takes root, component and, for one of an API, api; suffix, for a second resource of one kind.
At most 52 characters: a StatefulSet's pods bear its name and a hash of 10 in a label of 63. One that is longer ends with
a digest of the whole, so that two APIs whose names begin alike have two names.
*/}}
{{- define "stream-infer.partName" -}}
{{- $whole := printf "%s-%s" (include "stream-infer.fullname" .root) .component -}}
{{- if .api -}}
{{- $whole = printf "%s-%s" $whole .api -}}
{{- end -}}
{{- if .suffix -}}
{{- $whole = printf "%s-%s" $whole .suffix -}}
{{- end -}}
{{- if gt (len $whole) 52 -}}
{{- printf "%s-%s" ($whole | trunc 43 | trimSuffix "-") ($whole | sha256sum | trunc 8) -}}
{{- else -}}
{{- $whole -}}
{{- end -}}
{{- end -}}

{{- define "stream-infer.selectorLabels" -}}
app.kubernetes.io/name: {{ include "stream-infer.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- with .api }}
stream-infer/api: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "stream-infer.labels" -}}
{{ include "stream-infer.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: stream-infer
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{- end -}}

{{/* metadata of a part; takes what partName takes. */}}
{{- define "stream-infer.metadata" -}}
name: {{ include "stream-infer.partName" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "stream-infer.labels" . | nindent 2 }}
{{- end -}}

{{- define "stream-infer.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "stream-infer.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Takes root and image. */}}
{{- define "stream-infer.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Peers of a NetworkPolicy: all addresses but these, a list of blocks of either kind. */}}
{{- define "stream-infer.anywhere" -}}
{{- range $cidr := list "0.0.0.0/0" "::/0" }}
- ipBlock:
    cidr: {{ $cidr | quote }}
    {{- $except := list }}
    {{- range $block := $ }}
    {{- if eq (contains ":" $block) (contains ":" $cidr) }}
    {{- $except = append $except $block }}
    {{- end }}
    {{- end }}
    {{- with $except }}
    except:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- end -}}
