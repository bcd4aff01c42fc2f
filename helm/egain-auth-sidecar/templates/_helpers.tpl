{{/*
Private helpers. Charts that include the sidecar themselves need _container.tpl only.
Every one takes the chart's root context, unless it says otherwise. Names come from .Release and .Values alone,
never from .Chart, so that another chart can call the public templates with a context of its own.
*/}}

{{/* Follows sidecar/__init__.py, as Chart.yaml does: .Chart is another one when another chart calls. */}}
{{- define "egain-auth-sidecar.version" -}}0.1.0{{- end }}

{{- define "egain-auth-sidecar.name" -}}
{{- .Values.nameOverride | default "egain-auth-sidecar" | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Room is left for the longest suffix (-webhook-settings) within a label's 63 characters. */}}
{{- define "egain-auth-sidecar.fullname" -}}
{{- $name := include "egain-auth-sidecar.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 46 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 46 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What a selector may use: it must never change over upgrades. */}}
{{- define "egain-auth-sidecar.selectorLabels" -}}
app.kubernetes.io/name: {{ include "egain-auth-sidecar.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "egain-auth-sidecar.labels" -}}
{{ include "egain-auth-sidecar.selectorLabels" . }}
app.kubernetes.io/version: {{ include "egain-auth-sidecar.version" . | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: egain-auth-sidecar-{{ include "egain-auth-sidecar.version" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "egain-auth-sidecar.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository ($image.tag | default (include "egain-auth-sidecar.version" .)) }}
{{- end }}
{{- end }}

{{- define "egain-auth-sidecar.imagePullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "egain-auth-sidecar.configMapName" -}}
{{- .Values.configMapName | default (printf "%s-config" (include "egain-auth-sidecar.fullname" .)) }}
{{- end }}

{{- define "egain-auth-sidecar.webhookName" -}}
{{- include "egain-auth-sidecar.fullname" . }}-webhook
{{- end }}

{{/* Cluster-wide: the namespace keeps two releases of one name apart. */}}
{{- define "egain-auth-sidecar.webhookConfigurationName" -}}
{{- printf "%s-%s" (include "egain-auth-sidecar.webhookName" .) .Release.Namespace | trunc 120 | trimSuffix "-" }}
{{- end }}

{{- define "egain-auth-sidecar.webhookServiceAccountName" -}}
{{- $account := .Values.webhook.serviceAccount }}
{{- if $account.create }}
{{- $account.name | default (include "egain-auth-sidecar.webhookName" .) }}
{{- else }}
{{- $account.name | default "default" }}
{{- end }}
{{- end }}

{{- define "egain-auth-sidecar.tlsSecretName" -}}
{{- $certificate := .Values.webhook.certificate }}
{{- if eq $certificate.mode "existing" }}
{{- required "webhook.certificate.secretName: name the Secret that has tls.crt and tls.key (certificate.mode is existing)" $certificate.secretName }}
{{- else }}
{{- $certificate.secretName | default (printf "%s-tls" (include "egain-auth-sidecar.webhookName" .)) }}
{{- end }}
{{- end }}

{{/* The names the webhook is called by, as a YAML list. */}}
{{- define "egain-auth-sidecar.webhookDnsNames" -}}
{{- $name := include "egain-auth-sidecar.webhookName" . }}
- {{ $name }}.{{ .Release.Namespace }}.svc
- {{ $name }}.{{ .Release.Namespace }}.svc.cluster.local
- {{ $name }}.{{ .Release.Namespace }}
- {{ $name }}
{{- end }}

{{- define "egain-auth-sidecar.exampleName" -}}
{{- include "egain-auth-sidecar.fullname" . }}-example
{{- end }}

{{/* A duration of the configuration (500ms, 25s, 1.5m, 1h) in seconds, rounded up; 0 for a ${NAME}. Takes the text. */}}
{{- define "egain-auth-sidecar.seconds" -}}
{{- $unit := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 }}
{{- mulf (regexFind "^[0-9.]+" . | float64) (get $unit (regexFind "[a-z]+$" .) | float64) | ceil | int }}
{{- end }}
