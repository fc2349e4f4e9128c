DROP TABLE desired_devices;
DROP TABLE desired_states;
