{{/*
For the chart of an application. Each takes this chart's own context: {{ include "poolwatch.sidecar.container" .Subcharts.poolwatch }}
The pod needs `securityContext.fsGroup: 65532`, so that the application may write to the socket.
*/}}

{{/* One of `initContainers`: a native sidecar. */}}
{{- define "poolwatch.sidecar.container" -}}
- name: poolwatch
  image: {{ include "poolwatch.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always
  args: [run, --role=sidecar]
  {{- with .Values.sidecar.environment }}
  env:
    {{- range $name, $value := . }}
    - {name: {{ $name }}, value: {{ $value | quote }}}
    {{- end }}
  {{- end }}
  {{- include "poolwatch.container" . | nindent 2 }}
  resources:
    {{- toYaml .Values.sidecar.resources | nindent 4 }}
  volumeMounts:
    - {name: poolwatch-socket, mountPath: /run/poolwatch}
{{- end -}}

{{/* One of the pod's `volumes`. */}}
{{- define "poolwatch.sidecar.volume" -}}
- name: poolwatch-socket
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- end -}}

{{/* One of the `volumeMounts` of the application's container. */}}
{{- define "poolwatch.sidecar.mount" -}}
- {name: poolwatch-socket, mountPath: /run/poolwatch, readOnly: true}
{{- end -}}

{{/* A label of the pod, by which the PodMonitor finds it. */}}
{{- define "poolwatch.sidecar.labels" -}}
poolwatch: sidecar
{{- end -}}
