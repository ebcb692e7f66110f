-- A small system that answers posts on Reddit for its clients: five tables, nine composite indexes, a month of data.
BEGIN;
SELECT setseed(0.42);

CREATE TABLE clients (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name varchar(100) NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id bigint NOT NULL REFERENCES clients (id),
    email varchar(200) NOT NULL,
    full_name varchar(100) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (client_id, email)
);

CREATE TABLE matched_posts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id bigint NOT NULL REFERENCES clients (id),
    subreddit varchar(50) NOT NULL,
    title varchar(300) NOT NULL,
    body text NOT NULL,
    reviewed boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ai_responses (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    post_id bigint NOT NULL REFERENCES matched_posts (id),
    client_id bigint NOT NULL REFERENCES clients (id),
    content text NOT NULL,
    score double precision NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE analytics_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id bigint NOT NULL REFERENCES clients (id),
    event_type varchar(50) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO clients (name) SELECT 'Client ' || n FROM generate_series(1, 50) AS n;

INSERT INTO users (client_id, email, full_name)
SELECT n % 50 + 1, 'user' || n || '@example.com', 'User ' || n
FROM generate_series(1, 300) AS n;

INSERT INTO matched_posts (client_id, subreddit, title, body, reviewed, created_at)
SELECT
    n % 50 + 1,
    (ARRAY['postgresql', 'python', 'devops', 'sysadmin', 'startups'])[n % 5 + 1],
    'What should I know about connection pools? (' || n || ')',
    repeat('I read a lot about connection pools and still have questions. ', 5),
    random() < 0.7,
    now() - random() * interval '30 days'
FROM generate_series(1, 2000) AS n;

INSERT INTO ai_responses (post_id, client_id, content, score, created_at)
SELECT id, client_id, repeat('A good start is to measure first. ', 4), random(), created_at + interval '5 minutes'
FROM matched_posts, generate_series(1, 3);

INSERT INTO analytics_events (client_id, event_type, created_at)
SELECT
    n % 50 + 1,
    (ARRAY['post_matched', 'post_matched', 'response_drafted', 'response_reviewed', 'response_posted'])[n % 5 + 1],
    now() - random() * interval '30 days'
FROM generate_series(1, 20000) AS n;

CREATE INDEX idx_client_created ON matched_posts (client_id, created_at);
CREATE INDEX idx_client_reviewed ON matched_posts (client_id, reviewed);
CREATE INDEX idx_subreddit_created ON matched_posts (subreddit, created_at);
CREATE INDEX idx_responses_post_client ON ai_responses (post_id, client_id);
CREATE INDEX idx_responses_client_created ON ai_responses (client_id, created_at);
CREATE INDEX idx_responses_quality_score ON ai_responses (score);
CREATE INDEX idx_analytics_client_date ON analytics_events (client_id, created_at);
CREATE INDEX idx_analytics_client_event ON analytics_events (client_id, event_type);
CREATE INDEX idx_analytics_event_date ON analytics_events (event_type, created_at);
COMMIT;

ANALYZE;
