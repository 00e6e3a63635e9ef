-- What needs no join reads the same rows without one.

CREATE OR REPLACE VIEW cost_by_model AS
SELECT
    provider, model, count(*) FILTER (outcome <> 'unsent') AS calls,
    count(*) FILTER (outcome = 'failed') AS failed, count(*) FILTER (outcome = 'unsent') AS unsent,
    sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,
    sum(cost_usd) AS cost_usd, count(*) FILTER (unpriced) AS unpriced
FROM _log.paid
GROUP BY ALL;

CREATE OR REPLACE VIEW cost_by_customer AS
SELECT
    customer, count(*) FILTER (outcome <> 'unsent') AS calls,
    count(*) FILTER (outcome = 'failed') AS failed, count(*) FILTER (outcome = 'unsent') AS unsent,
    sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,
    sum(cost_usd) AS cost_usd, count(*) FILTER (unpriced) AS unpriced
FROM _log.paid
GROUP BY ALL;

CREATE OR REPLACE VIEW cost_by_conversation AS
SELECT
    customer, conversation, count(*) FILTER (outcome <> 'unsent') AS calls,
    count(*) FILTER (outcome = 'failed') AS failed, count(*) FILTER (outcome = 'unsent') AS unsent,
    sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,
    sum(cost_usd) AS cost_usd, count(*) FILTER (unpriced) AS unpriced
FROM _log.paid
GROUP BY ALL;

CREATE OR REPLACE VIEW cost_by_day AS
SELECT
    recorded_at::DATE AS day, count(*) FILTER (outcome <> 'unsent') AS calls,
    count(*) FILTER (outcome = 'failed') AS failed, count(*) FILTER (outcome = 'unsent') AS unsent,
    sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,
    sum(cost_usd) AS cost_usd, count(*) FILTER (unpriced) AS unpriced
FROM _log.paid
GROUP BY ALL;

CREATE OR REPLACE VIEW cost_by_task AS
SELECT
    task, count(*) FILTER (outcome <> 'unsent') AS calls,
    count(*) FILTER (outcome = 'failed') AS failed, count(*) FILTER (outcome = 'unsent') AS unsent,
    sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,
    sum(cost_usd) AS cost_usd, count(*) FILTER (unpriced) AS unpriced
FROM spend
GROUP BY ALL;

CREATE OR REPLACE VIEW cost_by_route AS
SELECT
    route, count(*) FILTER (outcome <> 'unsent') AS calls,
    count(*) FILTER (outcome = 'failed') AS failed, count(*) FILTER (outcome = 'unsent') AS unsent,
    sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,
    sum(cost_usd) AS cost_usd, count(*) FILTER (unpriced) AS unpriced
FROM spend
GROUP BY ALL;

CREATE OR REPLACE VIEW cost_by_agent AS
SELECT
    agent, count(*) FILTER (outcome <> 'unsent') AS calls,
    count(*) FILTER (outcome = 'failed') AS failed, count(*) FILTER (outcome = 'unsent') AS unsent,
    sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,
    sum(cost_usd) AS cost_usd, count(*) FILTER (unpriced) AS unpriced
FROM spend
GROUP BY ALL;

COMMENT ON VIEW cost_by_model IS 'What each model cost.';
COMMENT ON COLUMN cost_by_model.provider IS 'who served it, if told; if it failed, who was asked';
COMMENT ON COLUMN cost_by_model.model IS 'the model, as answered';
COMMENT ON COLUMN cost_by_model.calls IS 'paid calls with an outcome: the rows of `spend`, without those that are `unsent`';
COMMENT ON COLUMN cost_by_model.failed IS 'those that failed';
COMMENT ON COLUMN cost_by_model.unsent IS 'attempts that were turned away before they went out, and are no calls';
COMMENT ON COLUMN cost_by_model.input_tokens IS 'the sum of what was told';
COMMENT ON COLUMN cost_by_model.output_tokens IS 'the sum of what was told';
COMMENT ON COLUMN cost_by_model.cost_usd IS 'the sum of the known prices, exact; null when none is known';
COMMENT ON COLUMN cost_by_model.unpriced IS 'calls that were used at an unknown price: the sum lacks them';

COMMENT ON VIEW cost_by_customer IS 'What each customer cost.';
COMMENT ON COLUMN cost_by_customer.customer IS 'the company that pays';
COMMENT ON COLUMN cost_by_customer.calls IS 'paid calls with an outcome: the rows of `spend`, without those that are `unsent`';
COMMENT ON COLUMN cost_by_customer.failed IS 'those that failed';
COMMENT ON COLUMN cost_by_customer.unsent IS 'attempts that were turned away before they went out, and are no calls';
COMMENT ON COLUMN cost_by_customer.input_tokens IS 'the sum of what was told';
COMMENT ON COLUMN cost_by_customer.output_tokens IS 'the sum of what was told';
COMMENT ON COLUMN cost_by_customer.cost_usd IS 'the sum of the known prices, exact; null when none is known';
COMMENT ON COLUMN cost_by_customer.unpriced IS 'calls that were used at an unknown price: the sum lacks them';

COMMENT ON VIEW cost_by_conversation IS 'What each conversation cost.';
COMMENT ON COLUMN cost_by_conversation.customer IS 'the company that pays';
COMMENT ON COLUMN cost_by_conversation.conversation IS 'its name';
COMMENT ON COLUMN cost_by_conversation.calls IS 'paid calls with an outcome: the rows of `spend`, without those that are `unsent`';
COMMENT ON COLUMN cost_by_conversation.failed IS 'those that failed';
COMMENT ON COLUMN cost_by_conversation.unsent IS 'attempts that were turned away before they went out, and are no calls';
COMMENT ON COLUMN cost_by_conversation.input_tokens IS 'the sum of what was told';
COMMENT ON COLUMN cost_by_conversation.output_tokens IS 'the sum of what was told';
COMMENT ON COLUMN cost_by_conversation.cost_usd IS 'the sum of the known prices, exact; null when none is known';
COMMENT ON COLUMN cost_by_conversation.unpriced IS 'calls that were used at an unknown price: the sum lacks them';

COMMENT ON VIEW cost_by_day IS 'What each day cost.';
COMMENT ON COLUMN cost_by_day.day IS 'the day of the outcome, UTC';
COMMENT ON COLUMN cost_by_day.calls IS 'paid calls with an outcome: the rows of `spend`, without those that are `unsent`';
COMMENT ON COLUMN cost_by_day.failed IS 'those that failed';
COMMENT ON COLUMN cost_by_day.unsent IS 'attempts that were turned away before they went out, and are no calls';
COMMENT ON COLUMN cost_by_day.input_tokens IS 'the sum of what was told';
COMMENT ON COLUMN cost_by_day.output_tokens IS 'the sum of what was told';
COMMENT ON COLUMN cost_by_day.cost_usd IS 'the sum of the known prices, exact; null when none is known';
COMMENT ON COLUMN cost_by_day.unpriced IS 'calls that were used at an unknown price: the sum lacks them';

COMMENT ON VIEW cost_by_task IS 'What each task cost.';
COMMENT ON COLUMN cost_by_task.task IS 'what for, as in `spend`';
COMMENT ON COLUMN cost_by_task.calls IS 'paid calls with an outcome: the rows of `spend`, without those that are `unsent`';
COMMENT ON COLUMN cost_by_task.failed IS 'those that failed';
COMMENT ON COLUMN cost_by_task.unsent IS 'attempts that were turned away before they went out, and are no calls';
COMMENT ON COLUMN cost_by_task.input_tokens IS 'the sum of what was told';
COMMENT ON COLUMN cost_by_task.output_tokens IS 'the sum of what was told';
COMMENT ON COLUMN cost_by_task.cost_usd IS 'the sum of the known prices, exact; null when none is known';
COMMENT ON COLUMN cost_by_task.unpriced IS 'calls that were used at an unknown price: the sum lacks them';

COMMENT ON VIEW cost_by_route IS 'What each route cost.';
COMMENT ON COLUMN cost_by_route.route IS 'the route that chose; null where an agent or a request names its model';
COMMENT ON COLUMN cost_by_route.calls IS 'paid calls with an outcome: the rows of `spend`, without those that are `unsent`';
COMMENT ON COLUMN cost_by_route.failed IS 'those that failed';
COMMENT ON COLUMN cost_by_route.unsent IS 'attempts that were turned away before they went out, and are no calls';
COMMENT ON COLUMN cost_by_route.input_tokens IS 'the sum of what was told';
COMMENT ON COLUMN cost_by_route.output_tokens IS 'the sum of what was told';
COMMENT ON COLUMN cost_by_route.cost_usd IS 'the sum of the known prices, exact; null when none is known';
COMMENT ON COLUMN cost_by_route.unpriced IS 'calls that were used at an unknown price: the sum lacks them';

COMMENT ON VIEW cost_by_agent IS 'What each agent cost.';
COMMENT ON COLUMN cost_by_agent.agent IS 'the agent of the conversation; null where there is none';
COMMENT ON COLUMN cost_by_agent.calls IS 'paid calls with an outcome: the rows of `spend`, without those that are `unsent`';
COMMENT ON COLUMN cost_by_agent.failed IS 'those that failed';
COMMENT ON COLUMN cost_by_agent.unsent IS 'attempts that were turned away before they went out, and are no calls';
COMMENT ON COLUMN cost_by_agent.input_tokens IS 'the sum of what was told';
COMMENT ON COLUMN cost_by_agent.output_tokens IS 'the sum of what was told';
COMMENT ON COLUMN cost_by_agent.cost_usd IS 'the sum of the known prices, exact; null when none is known';
COMMENT ON COLUMN cost_by_agent.unpriced IS 'calls that were used at an unknown price: the sum lacks them';
