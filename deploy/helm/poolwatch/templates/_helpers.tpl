{{- define "poolwatch.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "poolwatch.labels" -}}
app.kubernetes.io/name: poolwatch
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "poolwatch.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{/* The labels by which the pods of one watcher are found. Takes a dict of the context `root` and the watcher's `name`. */}}
{{- define "poolwatch.watcher.selector" -}}
app.kubernetes.io/name: poolwatch
app.kubernetes.io/instance: {{ .root.Release.Name }}
poolwatch: watcher
poolwatch-server: {{ .name | quote }}
{{- end -}}

{{/* The settings of one watcher. The name of the server is that of the watcher. */}}
{{- define "poolwatch.watcher.settings" -}}
{{- $server := dict "url" .watcher.url -}}
{{- if gt (int .root.Values.watcher.replicas) 1 -}}
{{- $_ := set $server "leader_election" true -}}
{{- end -}}
{{- with .watcher.passwordSecret -}}
{{- $_ := set $server "password_file" (printf "/run/secrets/poolwatch/%s" .key) -}}
{{- end -}}
{{- $server = mergeOverwrite $server (deepCopy (default dict .watcher.server)) -}}
{{- toYaml (mergeOverwrite (dict "servers" (dict .name $server) "role" "watcher") (deepCopy (default dict .watcher.settings))) -}}
{{- end -}}

{{/* None of the probes depends on a database: a new pod would not bring it back. */}}
{{- define "poolwatch.container" -}}
ports:
  - {name: poolwatch, containerPort: 8001}
startupProbe:
  httpGet: {path: /-/healthy, port: poolwatch}
  periodSeconds: 1
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /-/healthy, port: poolwatch}
  periodSeconds: 10
  timeoutSeconds: 3
readinessProbe:
  httpGet: {path: /-/ready, port: poolwatch}
  periodSeconds: 10
  timeoutSeconds: 3
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
{{- end -}}
