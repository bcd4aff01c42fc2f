{{/*
The sidecar for charts that put it into their pods themselves. These templates are this chart's interface.

Take this chart as a dependency (with `webhook.enabled: false` under its name in your values, unless the injector is
wanted as well), then, in your Deployment's pod:

    {{- $sidecar := dict "Values" (index .Values "egain-auth-sidecar") "Release" .Release }}
    spec:
      initContainers:
        {{- include "egain-auth-sidecar.initContainers" $sidecar | nindent 8 }}     # first, before your own
      containers:
        - name: app
          env:
            {{- include "egain-auth-sidecar.env" $sidecar | nindent 12 }}           # EGAIN_BASE_URL
      volumes:
        {{- include "egain-auth-sidecar.volumes" $sidecar | nindent 8 }}

Values is a dictionary shaped like this chart's values: your values under the dependency's name, which Helm has filled
up with the defaults. For two pods with different settings, lay your own over a copy of it:

    {{- $own := dict "configMapName" "orders" "sidecar" (dict "secretName" "orders-egain") }}
    {{- $sidecar := dict "Values" (mergeOverwrite (deepCopy (index .Values "egain-auth-sidecar")) $own) "Release" .Release }}

Read are `image`, `sidecar`, and for the ConfigMap's name `configMapName` (empty: the one this chart makes of `config`),
`nameOverride`, `fullnameOverride`. The pod needs a terminationGracePeriodSeconds above the configuration's
shutdown.drain_timeout; Kubernetes' 30 seconds are above its default.
*/}}

{{/* The container, as a YAML mapping: what goes into the list, without the dash. */}}
{{- define "egain-auth-sidecar.container" -}}
{{- $sidecar := required "egain-auth-sidecar.container: Values.sidecar is missing; see templates/_container.tpl for how to call it" .Values.sidecar -}}
name: auth-sidecar
image: {{ include "egain-auth-sidecar.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
# A native sidecar: up before the app, down after it, and no Job waits for it.
restartPolicy: Always
args: [run, /etc/auth-sidecar/sidecar.yaml]
env:
  - name: AUTH_SIDECAR_LISTEN
    value: {{ printf "127.0.0.1:%d" (int $sidecar.port) | quote }}
  - name: AUTH_SIDECAR_ADMIN
    value: {{ printf "0.0.0.0:%d" (int $sidecar.adminPort) | quote }}
  {{- with $sidecar.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $sidecar.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: admin
    containerPort: {{ int $sidecar.adminPort }}
    protocol: TCP
{{- with $sidecar.startupProbe }}
startupProbe:
  httpGet: {path: /readyz, port: admin}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $sidecar.readinessProbe }}
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $sidecar.livenessProbe }}
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $sidecar.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $sidecar.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
# Why it did not start (a wrong configuration, say) is in `kubectl describe pod`.
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  # Whole directories, never a subPath: the kubelet's updates arrive, and the sidecar reloads.
  - name: auth-sidecar-config
    mountPath: /etc/auth-sidecar
    readOnly: true
  - name: auth-sidecar-secret
    mountPath: /var/run/secrets/egain
    readOnly: true
  {{- with $sidecar.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The same as a list of one, for the top of `initContainers`. */}}
{{- define "egain-auth-sidecar.initContainers" -}}
-
  {{- include "egain-auth-sidecar.container" . | nindent 2 }}
{{- end }}

{{/* The pod's volumes, as a list. Not optional: without them the pod waits and says why. */}}
{{- define "egain-auth-sidecar.volumes" -}}
- name: auth-sidecar-config
  configMap:
    name: {{ include "egain-auth-sidecar.configMapName" . }}
    optional: false
- name: auth-sidecar-secret
  secret:
    secretName: {{ required "sidecar.secretName: name the Secret that has the key client_secret" .Values.sidecar.secretName }}
    # 0444: the sidecar's user is not the files' owner.
    defaultMode: 292
    optional: false
{{- with .Values.sidecar.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What every other container needs to know, as a list for its `env`. */}}
{{- define "egain-auth-sidecar.env" -}}
- name: {{ .Values.sidecar.baseUrlEnv }}
  value: {{ printf "http://127.0.0.1:%d" (int .Values.sidecar.port) | quote }}
{{- end }}
