-- What the views keep of each step in `batch`: (position, subject, payload, delivered_at, reason).
-- `subject` is null for a line of an archive, which has the address inside and no `after`.
-- Where `error` is empty Python must read: an old or unknown tag, invalid JSON, a field missing or
-- of a type that does not fit. Those come back with `delivered_at`, and with `reason` when they are
-- unreadable.
WITH envelopes AS (
    SELECT
        position, subject, delivered_at, reason,
        string_split(subject, '.') AS address,
        try(json_transform(payload, '{
            "id": "VARCHAR", "at": "TIMESTAMP", "after": "BIGINT", "cause": "VARCHAR", "by": "VARCHAR",
            "trace": "VARCHAR", "v": "INTEGER", "blob": "VARCHAR", "event": "JSON",
            "customer": "VARCHAR", "conversation": "VARCHAR", "kind": "VARCHAR", "broken": "BIGINT"
        }')) AS e
    FROM batch
),
events AS (
    SELECT
        *,
        json_transform(e.event, '{
            "type": "VARCHAR", "call": "VARCHAR", "turn": "BIGINT", "heard": "BIGINT",
            "attempt": "BIGINT", "model": "VARCHAR", "provider": "VARCHAR", "name": "VARCHAR",
            "task": "VARCHAR", "agent": "VARCHAR", "reason": "VARCHAR", "cost_usd": "VARCHAR",
            "usage": {
                "input": "BIGINT", "output": "BIGINT", "cached": "BIGINT", "thinking": "BIGINT"
            },
            "elapsed_ms": "DOUBLE", "passages": [{"score": "DOUBLE"}], "parts": [{"type": "VARCHAR"}],
            "text": "VARCHAR", "digest": "VARCHAR", "channel": "VARCHAR", "query": "VARCHAR",
            "collections": ["VARCHAR"], "passages_max": "BIGINT",
            "choice": {"route": "VARCHAR"}, "shadow": "BOOLEAN", "spent": "JSON"
        }') AS x
    FROM envelopes
),
paid AS (
    SELECT
        *,
        CASE
            WHEN x.spent IS NOT NULL THEN
                json_transform(x.spent, '[{"what": "VARCHAR", "model": "VARCHAR", "cost_usd": "VARCHAR"}]')
        END AS spends
    FROM events
)
SELECT
    position,
    coalesce(e."at", delivered_at, TIMESTAMP 'epoch') AS recorded_at,
    coalesce(if(subject IS NULL, e.customer, address[2]), '') AS customer,
    coalesce(if(subject IS NULL, e.conversation, address[3]), '') AS conversation,
    coalesce(tags.kind, array_to_string(address[4:], '.'), '') AS kind,
    try_cast(e.id AS UUID) AS id,
    e.cause AS cause,
    e."by" AS author,
    e.trace AS trace,
    CASE
        WHEN reason IS NOT NULL THEN reason
        WHEN coalesce(
            e.id <> try_cast(e.id AS UUID)::VARCHAR
            OR e."at" IS NULL
            OR coalesce(e.blob, '') <> ''
            OR tags.tag IS NULL
            OR coalesce(e.v, 1) > getvariable('envelope')
            OR CASE
                WHEN subject IS NULL THEN
                    e.customer IS NULL OR e.conversation IS NULL
                    OR e.kind IS NOT NULL OR e.broken IS NOT NULL
                ELSE
                    (delivered_at IS NULL AND coalesce(e.after < 0, true))
                    OR subject <> concat('steps.', address[2], '.', address[3], '.', tags.kind)
            END
            OR (tags.needs_call AND x.call IS NULL)
            OR (tags.needs_name AND coalesce(x.name, x.task, x.agent) IS NULL)
            OR (tags.needs_turn AND x.turn IS NULL)
            OR (tags.needs_model AND x.model IS NULL)
            OR (tags.needs_reason AND x.reason IS NULL)
            OR (tags.needs_parts AND x.parts IS NULL)
            OR (tags.needs_passages AND x.passages IS NULL)
            OR (tags.needs_text AND x.text IS NULL)
            OR (tags.needs_digest AND x.digest IS NULL)
            OR (tags.needs_channel AND x.channel IS NULL)
            OR (tags.needs_query AND x.query IS NULL)
            OR (tags.needs_collections AND x.collections IS NULL)
            OR (tags.needs_passages_max AND x.passages_max IS NULL)
            OR (x.cost_usd IS NOT NULL AND try_cast(x.cost_usd AS DECIMAL(38, 18)) IS NULL)
            OR CASE
                WHEN x.spent IS NOT NULL THEN spends IS NULL OR len(list_filter(
                    spends, lambda spend: spend.what IS NULL OR spend.model IS NULL OR (
                        spend.cost_usd IS NOT NULL
                        AND try_cast(spend.cost_usd AS DECIMAL(38, 18)) IS NULL
                    )
                )) > 0
                ELSE false
            END
            OR CASE
                WHEN tags.others IS NOT NULL THEN NOT list_has_all(json_keys(e.event), tags.others)
                ELSE false
            END,
            true
        ) THEN ''
    END AS error,
    e.event AS event,
    x.call AS call,
    x.turn AS turn,
    x.heard AS heard,
    x.attempt AS attempt,
    x.model AS model,
    x.provider AS provider,
    coalesce(x.name, x.task, x.agent) AS name,
    x.reason AS reason,
    x.usage.input AS input_tokens,
    x.usage.output AS output_tokens,
    x.usage.cached AS cached_tokens,
    x.usage.thinking AS thinking_tokens,
    CASE
        WHEN x.spent IS NOT NULL THEN list_sum(list_transform(
            spends, lambda spend: try_cast(spend.cost_usd AS DECIMAL(38, 18))
        ))
        ELSE try_cast(x.cost_usd AS DECIMAL(38, 18))
    END AS cost_usd,
    CASE
        WHEN x.spent IS NOT NULL THEN
            len(list_filter(spends, lambda spend: spend.cost_usd IS NULL))
        WHEN x.cost_usd IS NOT NULL THEN NULL
        WHEN tags.kind IN ('reason.finished', 'generation.finished') THEN 1
        WHEN tags.kind IN ('reason.failed', 'generation.failed') THEN
            CASE
                WHEN x.usage IS NOT NULL THEN 1
                -- No usage, and yet it may have been paid for: what was asked of a provider, and
                -- nobody saw or kept the end of. A worker that fails (`too_large`) names no provider.
                WHEN x.reason IN (
                    'timeout', 'cut', 'unreachable', 'malformed', 'empty', 'cancelled', 'given_up',
                    'bug', 'lost'
                ) OR (x.reason = 'too_large' AND coalesce(x.provider, '') = '') THEN
                    if(coalesce(x.provider, '') <> '' OR contains(x.model, '/'), 1, NULL)
            END
    END AS unpriced,
    x.spent AS spent,
    x.choice.route AS route,
    x.shadow AS shadow,
    x.elapsed_ms AS elapsed_ms,
    len(x.passages) AS passages,
    list_max(list_transform(x.passages, lambda passage: passage.score)) AS best_score,
    e.after AS after
FROM paid
LEFT JOIN tags ON tags.tag = x.type
