"""The door to flwr: the only modules that name what flwr does not export.

What comes out of them are fedstate's own types and errors. The package itself exports nothing:
whoever needs a seam imports its module, and pays for the part of flwr that it takes alone.
``docs/upgrading-flwr.md`` lists every private name, why it is needed and which test uses it.

Of a node: ``clients`` (the Fleet API), ``fleet_client``, ``own_key``, ``object_moves``,
``refusals``, ``errors``, ``nodestate``, ``step_tasks``, ``stored_values``, ``runs``,
``runtime_app``, ``supernode_options``, ``programs``

Of an executor: ``tasks``, ``task_order``, ``task_client``, ``task_program``, ``apps``,
``serverapp_program``, ``monitors``

Of a SuperLink: ``superlink_app``, ``superlink_middleware``, ``superlink_ends``, ``bulk_state``,
``bulk_objects``, ``witnessed_state``, ``evidence_log``, ``evidence_state``, ``node_keys``,
``node_accounts``, ``control``, ``log_streams``

Of a ServerApp: ``grid``, ``pull_backoff``, ``engine``

Of what travels: ``proto``, ``messages``, ``routing``, ``run_objects``, ``object_client``,
``protobuf_call``, ``contexts``, ``field_numbers``
"""
