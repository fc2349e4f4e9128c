DROP TABLE handover_devices;
DROP TABLE handovers;
