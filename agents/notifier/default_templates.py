"""What messages say where a contact point has no templates of its own."""

from __future__ import annotations

from typing import Final

TITLE: Final = """\
[{{ status|upper }}{% if firing > 1 %}:{{ firing }}{% endif %}] {{ name }}\
{% if severity %} ({{ severity }}){% endif %}\
{% if group_said %} {{ group_said }}{% endif %}"""

TEXT: Final = """\
{% for alert in alerts %}
{{ alert.name }} is {{ alert.status }}, severity {{ alert.severity }}
{{ alert.said }}
{% if alert.summary %}
{{ alert.summary }}
{% endif %}
{% if alert.description %}
{{ alert.description }}
{% endif %}
Since: {{ alert.starts_at }}{% if alert.ends_at %}, until: {{ alert.ends_at }}{% endif %}

Labels: {{ alert.labels_said }}
{% if alert.runbook_url %}
Runbook: {{ alert.runbook_url }}
{% endif %}
{% if alert.dashboard_url %}
Dashboard: {{ alert.dashboard_url }}
{% endif %}
{% if alert.spans %}
Newest spans:
{% endif %}
{% for span in alert.spans %}
  {{ span.service }} {{ span.name }} {{ span.duration }}  trace {{ span.trace_id }} \
span {{ span.span_id }}{% if span.url %}  {{ span.url }}{% endif %}

{% endfor %}

{% endfor %}
{% if truncated %}
{{ truncated }} more alerts are in this group.
{% endif %}
"""

SLACK: Final = """\
{% for alert in alerts %}
*{{ alert.name }}* is {{ alert.status }}, severity {{ alert.severity }}
{{ alert.said }}
{% if alert.summary %}
{{ alert.summary }}
{% endif %}
{% if alert.description %}
{{ alert.description }}
{% endif %}
_{{ alert.labels_said }}_
{% if alert.runbook_url %}
<{{ alert.runbook_url }}|Runbook>
{% endif %}
{% if alert.dashboard_url %}
<{{ alert.dashboard_url }}|Dashboard>
{% endif %}
{% for span in alert.spans %}
• {% if span.url %}<{{ span.url }}|{{ span.trace_id }}>{% else %}`{{ span.trace_id }}`{% endif %} \
span `{{ span.span_id }}` {{ span.service }} {{ span.name }} {{ span.duration }}
{% endfor %}

{% endfor %}
{% if truncated %}
{{ truncated }} more alerts are in this group.
{% endif %}
"""

HTML: Final = """\
<!DOCTYPE html>
<html><body style="font-family: sans-serif">
{% for alert in alerts %}
<h2>{{ alert.name }} is {{ alert.status }}</h2>
<p>Severity {{ alert.severity }}. {{ alert.said }}</p>
{% if alert.summary %}
<p>{{ alert.summary }}</p>
{% endif %}
{% if alert.description %}
<p>{{ alert.description }}</p>
{% endif %}
<p>Since {{ alert.starts_at }}{% if alert.ends_at %}, until {{ alert.ends_at }}{% endif %}</p>
<p>{{ alert.labels_said }}</p>
{% if alert.runbook_url %}
<p><a href="{{ alert.runbook_url }}">Runbook</a></p>
{% endif %}
{% if alert.dashboard_url %}
<p><a href="{{ alert.dashboard_url }}">Dashboard</a></p>
{% endif %}
{% if alert.spans %}
<table><tr><th>Trace</th><th>Span</th><th>Service</th><th>Name</th><th>Duration</th></tr>
{% for span in alert.spans %}
<tr><td>{% if span.url %}<a href="{{ span.url }}">{{ span.trace_id }}</a>{% else %}\
{{ span.trace_id }}{% endif %}</td><td>{{ span.span_id }}</td><td>{{ span.service }}</td>\
<td>{{ span.name }}</td><td>{{ span.duration }}</td></tr>
{% endfor %}
</table>
{% endif %}
{% endfor %}
{% if truncated %}
<p>{{ truncated }} more alerts are in this group.</p>
{% endif %}
</body></html>
"""
